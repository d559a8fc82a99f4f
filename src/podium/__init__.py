"""Podium: one control plane for fleets of AI agents. Start reading at `docs/lifecycle.md`."""

__version__ = "0.1.0"
