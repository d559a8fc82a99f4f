"""Agents that Codex begins itself: threads of their own over the same connection."""

from __future__ import annotations

from typing import Any

import pytest

from podium.kernel import events as e
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Permissions
from tests.agents.codex_driving import CodexBench, Talk
from tests.agents.driving import playing, shell
from tests.agents.test_codex import once

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI
MODELS = ["some-model-of-mine", ""]
"""They are offered two different sets of tools for it: `spawn_agent` of old, and a team."""
WORK = "sleep 1; echo inner > inner.txt"


def beginning(*then: dict[str, Any], work: str = WORK) -> str:
    inner = playing({"calls": [shell(work)]}, {"say": "Inner done."})
    return playing({"calls": [{"tool": "agent", "input": {"prompt": inner}}]}, *then)


@pytest.mark.parametrize("model", MODELS)
def test_what_a_sub_agent_does_is_told_under_the_call_that_began_it(codex: CodexBench, model: str) -> None:
    ended = codex.run(
        beginning({"calls": [shell("sleep 3")]}, {"say": "Outer done."}),
        model=model,
        permissions=Permissions.FULL,
    )
    assert ended.said == ["Inner done.", "Outer done."], ended.outcome
    begun, *calls = ended.of(e.RunToolCalled)
    assert begun.name in ("spawnAgent", "spawn_agent")
    assert [(call.name, call.under) for call in sorted(calls, key=lambda call: call.under)] == [
        ("exec_command", ""),
        ("exec_command", begun.call_id),
    ]
    assert [fact.under for fact in ended.of(e.RunSaid)] == [begun.call_id, ""]
    returned = [fact.call_id for fact in ended.of(e.RunToolReturned)]
    assert sorted(returned) == sorted([begun.call_id, *(call.call_id for call in calls)])
    assert {fact.conversation_id for fact in ended.of(e.RunSessionKnown)} == {ended.conversation}
    assert ended.usage.input_tokens == 5 * 1000, "three answers to the agent, two to the other"


@pytest.mark.parametrize("model", MODELS)
def test_a_sub_agent_that_still_works_when_the_agent_is_done_is_waited_for(
    codex: CodexBench, model: str
) -> None:
    ended = codex.run(beginning({"say": "Outer done."}), model=model, permissions=Permissions.FULL)
    assert ended.outcome.succeeded, ended.outcome
    assert ended.said == ["Outer done.", "Inner done."]
    assert (codex.workspace / "inner.txt").read_text() == "inner\n"


@pytest.mark.parametrize("decision", list(Decision))
def test_what_it_asks_is_asked_even_when_the_agent_is_done(codex: CodexBench, decision: Decision) -> None:
    asked_after: list[bool] = []

    def answer(fact: e.RunFact, talk: Talk) -> None:
        """A person takes longer than the agent."""
        asked = [one for one in talk.facts if isinstance(one, e.RunAsked)]
        done = [one for one in talk.facts if isinstance(one, e.RunSaid)]
        if asked and done and not asked_after:
            asked_after.append(True)
            assert talk.waits == "permission"
            talk.answer(asked[0], decision)

    ended = codex.run(
        beginning({"say": "Outer done."}, work="echo inner > inner.txt"),
        do=answer,
        model=MODELS[0],
        permissions=Permissions.ASK,
        decision=None,
    )
    [asked] = ended.of(e.RunAsked)
    assert asked.effect.command == "echo inner > inner.txt"
    assert ended.said == ["Outer done.", "Inner done."], ended.outcome
    assert (codex.workspace / "inner.txt").exists() is (decision is Decision.ALLOW)


def test_an_end_while_a_sub_agent_works_is_no_end_of_the_agents_own(codex: CodexBench) -> None:
    ended = codex.run(
        beginning({"say": "Outer done."}),
        do=once(e.RunSaid, lambda talk: talk.kill()),
        model=MODELS[0],
        permissions=Permissions.FULL,
    )
    assert ended.said == ["Outer done."]
    assert ended.outcome.lost


def test_an_interrupt_for_good_does_not_wait_for_it(codex: CodexBench) -> None:
    def interrupt_at_its_call(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, e.RunToolCalled) and fact.under:
            talk.interrupt()

    ended = codex.run(
        beginning({"calls": [shell("sleep 600")]}, {"say": "Never."}),
        do=interrupt_at_its_call,
        model=MODELS[0],
        permissions=Permissions.FULL,
    )
    assert not ended.outcome.succeeded
    assert not ended.outcome.lost
    assert not (codex.workspace / "inner.txt").exists()
