"""A model that plays a script: what real agent programs talk to in tests (docs/reference/model-server.md)."""
