"""Adapters that know one agent program each. `base` is the contract, every other file one implementation."""
