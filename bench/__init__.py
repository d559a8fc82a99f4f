"""Measurements and fault campaigns, run by `./podium bench`. Not part of the shipped package."""
