"""Floor 0: nouns, states, events, errors, ids. Pure: stdlib and msgspec, no I/O, no clock."""
