"""Floor 2: the only argv to git. `base` holds the contract; every other file is one duty."""
