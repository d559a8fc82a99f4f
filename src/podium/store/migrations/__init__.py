"""Forward-only Alembic migrations, shipped as package data and imported only when a database must move."""
