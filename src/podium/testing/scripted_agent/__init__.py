"""An agent program that plays a script instead of asking a model: `python -m podium.testing.scripted_agent`.

It edits, runs and commits for real, keeps its own journal of what it did (evidence that is independent of
Podium's events), ends its step and exits when stdin closes, and resumes a session where the journal says.
Format and promises: `docs/reference/scripted-agent.md`. Standard library only, so that it starts fast.
"""
