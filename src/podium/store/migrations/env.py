"""Alembic's entry: runs on the connection that `migrate.py` opened, in the transaction it began."""

from alembic import context

from podium.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
