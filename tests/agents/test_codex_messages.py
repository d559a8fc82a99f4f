"""What people say to Codex while it works."""

from __future__ import annotations

import json
import subprocess

import pytest

from podium.harness.base import Said
from podium.harness.codex import Codex
from podium.kernel import events as e
from podium.kernel.nouns import Permissions, Reason
from podium.kernel.session import Mode
from tests.agents.codex_driving import CodexBench, Talk, message_id, saying
from tests.agents.driving import playing, shell
from tests.agents.test_codex import WAIT, once
from tests.support import eventually

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI


def test_a_message_reaches_the_turn_that_runs(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"calls": [shell("sleep 1")]}, {"say": "Heard."}),
        do=once(e.RunToolCalled, lambda talk: talk.say(1, "And this too.")),
    )
    assert ended.said == ["Heard."]
    assert saying(ended, e.MessageStarted) == saying(ended, e.MessageCompleted) == [message_id(1)]


def test_messages_to_an_idle_agent_are_turns_of_their_own(codex: CodexBench) -> None:
    def talk_on(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, e.RunSaid) and fact.text in ("One.", "Two."):
            talk.say(len(talk.sent), "Go on.", Mode.QUEUE)

    ended = codex.run(playing({"say": "One."}, {"say": "Two."}, {"say": "Three."}), do=talk_on)
    assert ended.said == ["One.", "Two.", "Three."]
    assert len(saying(ended, e.MessageStarted)) == len(saying(ended, e.MessageCompleted)) == 2


def test_two_messages_queued_for_one_idle_moment_are_two_turns_in_their_order(codex: CodexBench) -> None:
    def queue_two(talk: Talk) -> None:
        talk.say(1, "First.", Mode.QUEUE)
        talk.say(2, "Second.", Mode.QUEUE)

    ended = codex.run(
        playing({"calls": [shell("sleep 1")]}, {"say": "One."}, {"say": "Two."}, {"say": "Three."}),
        do=once(e.RunToolCalled, queue_two),
    )
    assert ended.said == ["One.", "Two.", "Three."]
    told = [fact for fact in ended.facts if isinstance(fact, e.MessageStarted | e.MessageCompleted)]
    assert [(type(fact), fact.message_id) for fact in told] == [
        (kind, message_id(number)) for number in (1, 2) for kind in (e.MessageStarted, e.MessageCompleted)
    ]


def test_the_turns_after_it_go_to_the_model_that_was_set(codex: CodexBench) -> None:
    def set_model(talk: Talk) -> None:
        talk.say(1, "gpt-5.4", Mode.MODEL)
        talk.say(2, "Go on.", Mode.QUEUE)

    prompt = playing({"calls": [shell("sleep 1")]}, {"say": "One."}, {"say": "Two."})
    ended = codex.run(prompt, do=once(e.RunToolCalled, set_model))
    assert ended.said == ["One.", "Two."]
    assert saying(ended, e.MessageCompleted) == [message_id(1), message_id(2)]
    (record,) = codex.keep.rglob("rollout-*")
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    models = [entry["payload"]["model"] for entry in entries if entry["type"] == "turn_context"]
    assert (models[0] != "gpt-5.4", models[-1]) == (True, "gpt-5.4")


def test_an_interrupting_message_stops_the_turn_and_is_the_next_one(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"calls": [WAIT]}, {"say": "Instead."}),
        do=once(e.RunToolCalled, lambda talk: talk.say(1, "Do that instead.", Mode.INTERRUPT)),
    )
    assert ended.outcome.succeeded, ended.outcome
    assert ended.said == ["Instead."]
    assert saying(ended, e.MessageStarted) == saying(ended, e.MessageCompleted) == [message_id(1)]
    assert ended.of(e.RunPaused) == []


def test_an_interrupt_without_words_pauses_until_something_is_said(codex: CodexBench) -> None:
    def act(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, e.RunToolCalled):
            talk.say(1, "", Mode.INTERRUPT)
        elif isinstance(fact, e.RunPaused):
            assert talk.waits == "message"
            talk.say(2, "Go on.")

    ended = codex.run(playing({"calls": [WAIT]}, {"say": "Going on."}), do=act)
    assert ended.outcome.succeeded, ended.outcome
    assert ended.said == ["Going on."]
    assert [fact.reason for fact in ended.of(e.RunPaused)] == ["message"]
    assert len(ended.of(e.RunContinued)) == 1
    assert saying(ended, e.MessageCompleted) == [message_id(1), message_id(2)]


def test_what_an_interrupted_turn_left_running_is_ended(codex: CodexBench) -> None:
    mark = codex.folder / "mark"
    command = shell(f"touch {mark}; sleep 600.{codex.folder.stat().st_ino}")

    def act(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, e.RunToolCalled) and fact.name == "exec_command" and not saying_ended:
            saying_ended.append("")
            talk.say(1, playing({"calls": [shell("sleep 1")]}, {"say": "Other."}), Mode.INTERRUPT)
        if isinstance(fact, e.RunSaid):
            found = subprocess.run(["pgrep", "-f", f"600.{codex.folder.stat().st_ino}"], capture_output=True)
            saying_ended.append(found.stdout.decode())

    saying_ended: list[str] = []
    ended = codex.run(playing({"calls": [command]}), do=act, permissions=Permissions.FULL)
    assert ended.said == ["Other."]
    assert saying_ended[-1] == ""


def test_an_interrupt_for_good_ends_the_run(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"say": "Waiting.", "calls": [WAIT]}, {"say": "Never."}),
        do=once(e.RunToolCalled, lambda talk: talk.interrupt()),
    )
    assert ended.outcome.reason is Reason.INTERRUPTED
    assert ended.said == ["Waiting."]
    assert [fact.is_error for fact in ended.of(e.RunToolReturned)] == [True]


def test_messages_at_the_very_end_of_a_turn_are_neither_lost_nor_doubled(codex: CodexBench) -> None:
    """Many in a row, so that some fall into the moment in which a turn ends."""
    left = list(range(1, 25))

    def act(fact: e.RunFact, talk: Talk) -> None:
        if left and isinstance(fact, e.RunSaid | e.RunUsed | e.MessageCompleted):
            talk.say(left.pop(), "More.")

    ended = codex.run(playing(*({"say": f"{n}."} for n in range(60))), do=act)
    assert ended.outcome.succeeded, ended.outcome
    sent = {message_id(number) for number in range(1, 25)} - {message_id(number) for number in left}
    assert (
        sorted(saying(ended, e.MessageStarted)) == sorted(saying(ended, e.MessageCompleted)) == sorted(sent)
    )
    assert len(sent) > 5


def test_a_message_that_the_conversation_holds_is_named_when_it_goes_on(codex: CodexBench) -> None:
    def act(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, e.RunToolCalled):
            talk.say(1, "This.")
        elif isinstance(fact, e.MessageStarted):
            # It writes its record a moment after it speaks; nothing tells us when.
            held = message_id(1)
            eventually(lambda: any(held in path.read_text() for path in codex.keep.rglob("rollout-*")))
            talk.kill()

    killed = codex.run(playing({"calls": [shell("sleep 1")]}, {"delay_ms": 5000, "say": "Heard."}), do=act)
    said = tuple(Said(id=message_id(number), text="This.", mode=Mode.STEER) for number in (1, 2))
    request = codex.request("x", conversation_id=killed.conversation, opening="again", said=said)
    assert Codex(request.about).launch(request).taken == (message_id(1),)
