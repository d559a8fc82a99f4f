"""Floor 3: decisions. Commands, dispatch, leases, ingest, finish; each a pure rule inside a transaction."""
