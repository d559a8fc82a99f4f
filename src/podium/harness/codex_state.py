"""What must be remembered of Codex between two frames."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from podium.harness.codex_asks import Ask, Strange
from podium.harness.codex_frames import Limit, Totals
from podium.kernel.nouns import Outcome, Reason

MAX_DONE = 100
MAX_OPEN = 20
GIVE_UP = 7
"""Times in a row that nobody answered, within about five minutes; left to itself it tries for ever."""
MAX_ASKS = 10
MAX_ANSWER = 12 * 1024
"""Of an answer in a given shape; a longer one is told as text only."""


class CodexState(Struct, frozen=True, kw_only=True):
    """prompt: parameters of the first turn, packed, until it has begun. busy: a turn runs, or is about to.
    calls: tool calls that run. change: the file change that may be asked about, packed. given: messages that
    are being worked at; done: those that need nothing more, and how many more there were (`forgotten`).
    halted: the turn was stopped and the agent waits for a message. answers: an answer in a given shape is
    wanted; answer: the last words. children: threads of sub-agents and the calls that began them. totals:
    tokens by thread. retried: why the turn last had to connect again; unanswered: how
    often in a row nobody was there. clean: the turn whose commands still
    run after it was interrupted."""

    thread_id: str | None = None
    cwd: str = ""
    opened: bool = False
    prompt: str = ""
    turn_id: str = ""
    busy: bool = True
    calls: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    """Calls that ended with their turn; what they still say is not told again."""
    change_id: str = ""
    change: str = ""
    tools: dict[str, str] = {}
    """Calls of servers' tools that run and were not asked about yet: id → what they are."""
    asks: tuple[Ask, ...] = ()
    strange: tuple[Strange, ...] = ()
    given: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    forgotten: int = 0
    halting: bool = False
    halted: bool = False
    clean: str = ""
    answers: bool = False
    answer: str = ""
    children: dict[str, str] = {}
    working: tuple[str, ...] = ()
    """Threads of sub-agents in which a turn runs: when their work is not waited for, it is lost."""
    totals: dict[str, Totals] = {}
    limit: Limit = Limit()
    retried: Reason | None = None
    unanswered: int = 0
    outcome: Outcome | None = None


def finished(state: CodexState, message_id: str) -> CodexState:
    """Nothing more will be told about this message."""
    done = (*state.done, message_id)
    return replace(
        state,
        given=tuple(one for one in state.given if one != message_id),
        done=done[-MAX_DONE:],
        forgotten=state.forgotten + max(0, len(done) - MAX_DONE),
    )
