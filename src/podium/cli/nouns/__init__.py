"""The groups named after nouns, one file each."""
