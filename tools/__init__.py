"""What a clone needs around the product: bootstrap, lanes, checks. Standard library only, never shipped."""
