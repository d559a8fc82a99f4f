"""What every harness must keep, over recorded transcripts and over hostile lines.

Each check raises AssertionError with the place where the promise broke. A golden is two files under
`transcripts/<harness>/`: `NAME.jsonl`, the agent's stdout as recorded from the real program, and `NAME.json`,
what it must be decoded to.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from podium.harness.base import MAX_STATE_BYTES, MAX_TEXT_BYTES, About, Exit, Frame, Partial
from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Outcome

TRANSCRIPTS = Path(__file__).with_name("transcripts")
ABOUT = About(task_id=TaskId("task_golden"), run_id=RunId("run_golden"))
ENVELOPE_BYTES = 64 * 1024
"""What an event may weigh beyond its text, escapes included."""


class Expected(Struct, frozen=True, kw_only=True):
    """The second file of a golden."""

    events: list[e.RunFact]
    outcome: Outcome
    over_after: int | None
    """Number of frames after which `is_over` is true for the first time; None: never."""
    exit_code: int | None
    stderr: str = ""


class Golden(Struct, frozen=True, kw_only=True):
    harness: str
    name: str
    frames: list[bytes]


def goldens(harness: str) -> list[Golden]:
    """In the order of their names."""
    return [
        Golden(harness=harness, name=path.stem, frames=path.read_bytes().splitlines())
        for path in sorted((TRANSCRIPTS / harness).glob("*.jsonl"))
    ]


def expected_of(golden: Golden) -> Expected:
    path = TRANSCRIPTS / golden.harness / f"{golden.name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Expected)


def decode(golden: Golden, *, exit_code: int | None, stderr: str = "") -> Expected:
    """What the harness makes of a golden today, read in one go."""
    harness = _harness(golden.harness)
    state: Any = harness.begin()
    facts: list[e.RunFact] = []
    over_after: int | None = None
    for number, data in enumerate(golden.frames, 1):
        state, more = harness.decode(state, Frame(data=data))
        facts.extend(_facts(more))
        if over_after is None and harness.is_over(state, ()):
            over_after = number
    end = Exit(code=exit_code, stderr=stderr.encode())
    return Expected(
        events=facts,
        outcome=harness.outcome(state, end),
        over_after=over_after,
        exit_code=exit_code,
        stderr=stderr,
    )


def check_golden(golden: Golden) -> None:
    """Decoded in one go, it tells what it is known to tell."""
    known = expected_of(golden)
    found = decode(golden, exit_code=known.exit_code, stderr=known.stderr)
    # Compared as JSON: inputs of tools are raw bytes, whose spacing means nothing.
    assert _plain(found) == _plain(known), f"{golden.harness}/{golden.name} is decoded differently"


def check_restarts(golden: Golden) -> None:
    """A restart between any two frames changes nothing, and neither do restarts between all of them."""
    known = _plain(expected_of(golden))
    everywhere = frozenset(range(len(golden.frames) + 1))
    for stops in [everywhere, *(frozenset({number}) for number in everywhere)]:
        harness, facts = _harness(golden.harness), []
        state: Any = harness.begin()
        for number, data in enumerate(golden.frames):
            if number in stops:
                harness, state = _restarted(golden.harness, state)
            state, more = harness.decode(state, Frame(data=data))
            facts.extend(_facts(more))
        harness, state = _restarted(golden.harness, state)
        end = Exit(code=known["exit_code"], stderr=known["stderr"].encode())
        told = {"events": _plain(facts), "outcome": _plain(harness.outcome(state, end))}
        where = sorted(stops) if len(stops) == 1 else "every frame"
        wanted = {"events": known["events"], "outcome": known["outcome"]}
        assert told == wanted, f"{golden.harness}/{golden.name} differs after a restart at {where}"


def check_hostile(harness_name: str, frames: Sequence[bytes], *, after: Sequence[bytes] = ()) -> None:
    """No line raises, ends the run, grows the state or an event beyond its bound."""
    harness = _harness(harness_name)
    state: Any = harness.begin()
    for data in after:
        state, _ = harness.decode(state, Frame(data=data))
    over, end = harness.is_over(state, ()), Exit(code=None, stderr=b"\xff\0")
    outcome = harness.outcome(state, end)
    for data in frames:
        for frame in (Frame(data=data), Frame(data=data[: len(data) // 2], truncated=True)):
            state, facts = harness.decode(state, frame)
            assert len(msgspec.json.encode(state)) <= MAX_STATE_BYTES, f"the state grew by {data[:80]!r}"
            for fact in _facts(facts):
                size = len(msgspec.json.encode(fact))
                assert size <= 6 * MAX_TEXT_BYTES + ENVELOPE_BYTES, f"{size} bytes by {data[:80]!r}"
                assert (fact.task_id, fact.run_id) == (ABOUT.task_id, ABOUT.run_id)
            assert harness.is_over(state, ()) is over, f"a hostile line ended the run: {data[:80]!r}"
    assert harness.outcome(state, end) == outcome, "hostile lines changed how the run ended"


def hostile_frames(kinds: Sequence[str]) -> Iterator[bytes]:
    """Lines that no honest program prints. `kinds`: values of `type` that the harness listens to."""
    yield from _no_json()
    for kind, body in itertools.product(kinds, _WRONG_BODIES):
        yield json.dumps({"type": kind, **body}).encode()
    for kind, (key, value) in itertools.product(kinds, itertools.product(_KEYS, _WRONG_VALUES)):
        yield b'{"type":%s,%s:%s}' % (json.dumps(kind).encode(), json.dumps(key).encode(), value)
    for kind in kinds:
        block = json.dumps({"type": "text", "text": "x" * 1_000_000})
        yield f'{{"type":"{kind}","text":"{"y" * 1_000_000}","message":{{"content":[{block}]}}}}'.encode()


def _no_json() -> Iterator[bytes]:
    yield from (b"", b"\0", b"\xff\xfe", b"null", b"[]", b'"x"', b"NaN", b"{", b"}", b"{}", b"\xed\xa0\x80")
    yield b'{"type":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield b"[" * 100_000
    for depth in (500, 900, 990, 1_100, 5_000, 20_000):
        yield b'{"type":"assistant","message":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    yield b'{"type":"result","is_error":false,"total_cost_usd":' + b"9" * 5_000
    yield b'{"type":"usage","input_tokens":' + b"9" * 5_000 + b"}"
    yield b'{"type":"say","text":"\\ud800"}'
    yield b'{"\\udfff":1,"type":"\\ud800\\ud800"}'
    yield b'{"type":"say","type":"think","type":7}'
    yield b"{" + b",".join(b'"k%d":0' % number for number in range(200_000)) + b"}"


_KEYS = ("message", "session_id", "session", "subtype", "text", "usage", "content", "status", "id")
_WRONG_VALUES = (
    *(b"null", b"true", b"-1", b"1e308", b"9" * 400, b'""', b'"\\u0000"', b"[]", b"{}", b"[[[[]]]]"),
    *(b'"\\ud800"', b'{"content":[null,1,"x",{"type":null},{"type":"text","text":5}]}'),
    *(b'{"content":[{"type":"tool_use","id":[],"name":{},"input":%s}]}' % (b"9" * 400,),),
    *(b'{"content":[{"type":"tool_result","tool_use_id":{},"content":[{"text":null}]}]}',),
    *(b'{"input_tokens":-5,"output_tokens":true,"costUSD":"x"}', b'{"content":{"type":"text"}}'),
)
_WRONG_BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"is_error": "false", "subtype": 3, "result": {"a": 1}, "terminal_reason": ["completed"]},
    {"is_error": None, "status": ["success"], "message": 5, "error_class": {}},
    {"total_cost_usd": "free", "usage": [], "model_usage_since_last_result": {"m": 5}},
    {"attempt": {}, "error": [], "error_status": "many", "max_retries": None},
    {"id": 5, "name": [], "input": "x", "output": {}, "is_error": 1},
)


def _facts(told: Sequence[Any]) -> list[e.RunFact]:
    """Without the partial text, which nobody records."""
    return [fact for fact in told if not isinstance(fact, Partial)]


def _harness(name: str) -> Any:
    return harness_class(name)(ABOUT)  # type: ignore[call-arg]


def _restarted(name: str, state: Any) -> tuple[Any, Any]:
    """A new process: the harness made anew, its state as it was stored."""
    raw = msgspec.json.encode(state)
    assert len(raw) <= MAX_STATE_BYTES
    harness = _harness(name)
    return harness, msgspec.json.decode(raw, type=harness.State)


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))
