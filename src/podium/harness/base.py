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

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from msgspec import Struct

from podium.kernel.events import RunFact
from podium.kernel.ids import MessageId, RunId, TaskId
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Check, Outcome
from podium.kernel.session import Mode

MAX_STATE_BYTES = 64 * 1024
MAX_TEXT_BYTES = 256 * 1024
"""Text of one event; what exceeds it is cut and told by a `run.noticed` of kind `truncated`."""


class About(Struct, frozen=True, kw_only=True):
    """Whose frames are decoded."""

    task_id: TaskId
    run_id: RunId


class Said(Struct, frozen=True, kw_only=True):
    """What a person says to the agent. `text` is empty for an interrupt alone."""

    id: MessageId
    text: str
    mode: Mode


class Reply(Struct, frozen=True, kw_only=True):
    """A person's answer to what the agent asked under `reply_token`. `reason` is for the model to read."""

    reply_token: str
    decision: Decision
    reason: str = ""


class Line(Struct, frozen=True, kw_only=True):
    """One line for the agent's stdin, without its newline. `key` names it for ever (`key_of(data) == key`):
    a line whose key stands in the input already is never written again."""

    key: str
    data: bytes


class Partial(Struct, frozen=True, kw_only=True):
    """A piece of text that is still being said: for those who watch now, never recorded. `item` tells which
    text it belongs to; `thought` when it is not meant for the reader of the answer."""

    item: str
    text: str
    thought: bool = False


class LaunchRequest(Struct, frozen=True, kw_only=True):
    about: About
    agent: Agent
    prompt: str
    workspace: Path
    files_dir: Path
    """Where `LaunchPlan.files` will be: private, outside the workspace."""
    keep_dir: Path
    """Private to this worker, outlives the run: what a resumed conversation needs to find again."""
    conversation_id: str | None = None
    """The program's conversation to go on with; None starts a new one."""
    opening: Literal["first", "again", "next"] = "first"
    """`again`: an earlier run of the same task was lost on the way. `next`: the prompt is what a person says
    next in a conversation that had ended."""
    fork: bool = False
    """Go on with a copy of the conversation."""
    said: tuple[Said, ...] = ()
    """Messages that wait for this run; those that the conversation holds already are named in the plan."""
    login_dir: Path | None = None
    """Where the program keeps the conversation and its login, when an earlier run has settled that."""
    secret: str | None = None
    """The key, when the agent's login is `key:NAME`."""
    server_secrets: Mapping[str, Mapping[str, str]] = {}
    """MCP server → header or variable → its value."""
    trusted: Mapping[str, bytes] = {}
    """Configuration files of the repository whose present content the project trusts."""
    output_schema: Mapping[str, Any] | None = None
    attachments: tuple[Path, ...] = ()
    """Files that the task was given, in one directory, which the variable PODIUM_ATTACHMENTS names too."""
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
    links: dict[str, Path] = {}
    """Absolute path → target of a symbolic link that must be there before the start."""
    conversation_id: str | None = None
    """When the harness can choose the conversation's id itself, or resumes one."""
    login_dir: Path | None = None
    """Where the program keeps the conversation; given back when it is resumed."""
    taken: tuple[MessageId, ...] = ()
    """Of `request.said`: what the conversation holds already."""


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
    modes: ClassVar[tuple[Mode, ...]]
    """How a message can reach it while it works, the usual one first; empty: it takes none."""
    config_files: ClassVar[tuple[str, ...]]
    """Files of a repository that its program would take hooks, settings or servers from."""
    resumes: ClassVar[bool]
    """A conversation that has ended can be gone on with."""
    forks: ClassVar[bool]
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

    def decode(self, state: S, frame: Frame) -> tuple[S, Sequence[RunFact | Partial]]:
        """The state after the frame and what it tells. Never raises on any bytes: what cannot be
        understood becomes a `run.noticed` of kind `undecodable`."""
        ...

    def due(self, state: S) -> Sequence[Line]:
        """Lines that the protocol wants written now, however often it is asked; each is written once."""
        ...

    def say(self, state: S, said: Said, sent: Collection[str]) -> Sequence[Line] | None:
        """The lines that carry a message; None: not now, ask again after the next frame. The last line's key
        is the message's id. `sent`: the keys of every line in the input: of what stands there no frame may
        have told yet."""
        ...

    def answer(self, state: S, reply: Reply) -> Line | None:
        """The line that answers an ask; None when the program does not wait for it (any more)."""
        ...

    def key_of(self, line: bytes) -> str:
        """The key of a line that stands in the input; empty for one that has none."""
        ...

    def waits(self, state: S, sent: Collection[str]) -> Literal["", "permission", "message"]:
        """What of a person the program waits for; while it does, its limits stand still. `sent`: the keys of
        every line in the input."""
        ...

    def was_deaf(self, state: S, sent: Collection[str]) -> bool:
        """It took the end of its input for an answer to what it had asked: what it did after that counts for
        nothing when the input ended only because its holder had died."""
        ...

    def is_over(self, state: S, sent: Collection[str]) -> bool:
        """The agent has said its last word, also about every message whose key is in `sent`: its stdin may be
        closed so that it ends."""
        ...

    def outcome(self, state: S, exit: Exit) -> Outcome:
        """How the run ended. `lost` when the program ended without its own say."""
        ...

    def interrupt(self, state: S) -> bytes | None:
        """The input line that asks the program to stop for good; None when it knows no such line."""
        ...
