"""What ships for testing fleets without models: programs started by argv, clocks, conformance suites.

May import anything of ours; nothing of ours imports it.
"""
