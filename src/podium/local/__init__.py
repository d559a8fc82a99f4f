"""Floor 5: commands about this machine's files: configuration, checkouts, doctor."""
