"""The agents that every new home knows, so that the first `podium run` needs no set-up."""

from __future__ import annotations

from podium.kernel import events as e
from podium.kernel.nouns import Agent
from podium.store.unit import Unit

DEFAULTS = (
    Agent(name="claude", harness="claude_code"),
    Agent(name="scripted", harness="scripted"),
)


def define_defaults(unit: Unit) -> None:
    """Define what is missing; never again what somebody has changed."""
    for agent in DEFAULTS:
        if unit.agent(agent.name) is None:
            unit.record(e.AgentDefined(agent=agent), by="server")
