"""How server and workers talk: `base` is the contract, `messages` the words, the rest transports."""
