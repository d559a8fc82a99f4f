"""The only place that spawns: holders, spools, tree kill, short commands. Start with `base`.

This file imports nothing: the template and every holder load the package, and each import would be paid
once per agent.
"""
