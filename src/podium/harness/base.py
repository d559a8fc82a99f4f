"""The contract of a harness: a pure codec between one agent program and Podium's events.

A harness does no I/O and keeps nothing: everything it must remember between two frames is its state, a
struct of at most MAX_STATE_BYTES when encoded, committed in the same transaction as the events and the
offset after the frame. Restarting at any frame boundary with the committed state gives the same events;
the conformance suite (`podium.testing.harness_conformance`) proves it at every boundary of every golden
transcript.

What a harness says about an agent is data, never an instruction: a frame that looks like an approval or a
result of another run changes nothing beyond the events of its own run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from msgspec import Struct

from podium.kernel.events import RunFact
from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Agent, Check, Outcome

MAX_STATE_BYTES = 64 * 1024
MAX_TEXT_BYTES = 256 * 1024
"""Text of one event; what exceeds it is cut and told by a `run.noticed` of kind `truncated`."""


class About(Struct, frozen=True, kw_only=True):
    """Whose frames are decoded."""

    task_id: TaskId
    run_id: RunId


class LaunchRequest(Struct, frozen=True, kw_only=True):
    about: About
    agent: Agent
    prompt: str
    workspace: Path
    files_dir: Path
    """Where `LaunchPlan.files` will be: private, outside the workspace."""
    keep_dir: Path
    """Private to this worker, outlives the run: what a resumed conversation needs to find again."""
    session_id: str | None = None
    """The conversation to resume; None starts a new one."""
    checks: tuple[Check, ...] = ()
    environ: Mapping[str, str] = {}
    """The worker's own environment, to look a login or a program up in; never passed on whole."""


class LaunchPlan(Struct, frozen=True, kw_only=True):
    """How to start the agent. Secrets stand in `env` or `files`, never in `argv`."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    """Added to the worker's allow-list."""
    files: dict[str, bytes] = {}
    """Name (no slash) → content, written 0600 into `files_dir` before the start."""
    first_input: bytes = b""
    """Whole lines for stdin."""
    close_stdin: bool = False
    """Close stdin after `first_input`."""
    session_id: str | None = None
    """When the harness can choose the conversation's id itself, or resumes one."""


class Frame(Struct, frozen=True, kw_only=True):
    """One line of the agent's stdout without its newline. `truncated`: the rest was dropped by a limit."""

    data: bytes
    truncated: bool = False


class Exit(Struct, frozen=True, kw_only=True):
    """What is known about the end of the agent's process.

    code: exit code, -N for signal N, None when nobody saw it (the holder died too).
    stderr: the last bytes of stderr.
    """

    code: int | None
    stderr: bytes = b""


S = TypeVar("S", bound=Struct)


class Harness(Protocol[S]):
    """One per run. Implementations take `about` as their only constructor argument."""

    name: ClassVar[str]
    joins_said: ClassVar[bool]
    """Its `run.said` are raw lines: neighbours may be joined into one event."""
    State: type[S]

    @classmethod
    def validate(cls, agent: Agent) -> None:
        """Refuse an agent whose options this harness does not understand. Raises InvalidRequest."""
        ...

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        """The plan. Raises InvalidRequest when the prompt is none it can use, AuthRequired when a login
        is needed and absent, NotFound when the program is not installed."""
        ...

    def begin(self) -> S:
        """The state before the first frame."""
        ...

    def decode(self, state: S, frame: Frame) -> tuple[S, Sequence[RunFact]]:
        """The state after the frame and what it tells. Never raises on any bytes: what cannot be
        understood becomes a `run.noticed` of kind `undecodable`."""
        ...

    def is_over(self, state: S) -> bool:
        """The agent has said its last word: its stdin may be closed so that it ends."""
        ...

    def outcome(self, state: S, exit: Exit) -> Outcome:
        """How the run ended. `lost` when the program ended without its own say."""
        ...

    def interrupt(self) -> bytes | None:
        """The input line that asks the program to stop what it does; None when it knows no such line."""
        ...
