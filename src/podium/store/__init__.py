"""Floor 1: the tables, the one Writer, the readers, the event log and the artifacts."""
