"""The routes under /api/v1, one file per noun. Each handler parses, calls one thing, answers bytes."""
