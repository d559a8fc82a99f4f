"""How server and workers talk. `base`: the contract; `messages`: the words; each other file: one transport."""
