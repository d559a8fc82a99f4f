"""Floor 5: HTTP and streams. Writes by engine.commands, reads by store.queries, asks workers by bus."""
