"""Claude Code, headless: launch plan and codec for its stream-json in both directions.

Judged by `is_error` and `terminal_reason` of its result, never by subtype or exit code. The user's own login
is used; settings, hooks and MCP servers come from this plan alone (`--setting-sources ""`).
"""

from __future__ import annotations

import shlex
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest
from podium.harness.claude_frames import Reading, is_result, result_outcome
from podium.harness.common import Voice, as_text, json_object, silent_end
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest, NotFound
from podium.kernel.nouns import Agent, Check, Outcome, Permissions

INSTALL = "npm install -g @anthropic-ai/claude-code"
LOGIN_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_MAX_RETRIES",
    "API_TIMEOUT_MS",
    "IS_SANDBOX",
)
"""Of the worker's environment: how the user's own `claude` finds its login and its server, and how long it
waits. IS_SANDBOX is what it demands from root before it runs with full permissions."""
QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    # One result per run: sub-agents stay in the foreground until conversations land.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
}
_NAMESPACE = uuid.UUID("6f1c8a52-3b0e-5c55-9d57-0d4a5f7a0c11")


class ClaudeState(Struct, frozen=True, kw_only=True):
    """What must be remembered between two frames."""

    session_id: str | None = None
    reading: Reading = Reading()
    over: bool = False
    outcome: Outcome | None = None


class ClaudeCode:
    """Options: `program` (path of the CLI; default: `claude` on PATH), `max_turns`."""

    name: ClassVar[str] = "claude_code"
    joins_said: ClassVar[bool] = False
    State = ClaudeState

    def __init__(self, about: About) -> None:
        self._about = about
        self._voice = Voice(about)

    @classmethod
    def validate(cls, agent: Agent) -> None:
        unknown = set(agent.options) - {"program", "max_turns"}
        if unknown:
            raise InvalidRequest(
                f"the claude_code harness has no option {min(unknown)!r}", hint="it has: program, max_turns"
            )
        if not agent.options.get("max_turns", "1").isdecimal():
            raise InvalidRequest("max_turns is a number")

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        agent = request.agent
        session = _session_id(request.conversation_id) or str(uuid.uuid5(_NAMESPACE, self._about.run_id))
        # Its own record decides, not what we were told: an id that it knows cannot be given to a new
        # conversation, one that it does not know (killed before it wrote a word) cannot be resumed.
        resumed = _is_on_record(session, request.environ)
        words = [
            _program(agent, request.environ),
            *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
            *("--setting-sources", "", "--strict-mcp-config"),
            f"--resume={session}" if resumed else f"--session-id={session}",
            *_permissions(agent, request.checks),
        ]
        if agent.model:
            words.append(f"--model={agent.model}")
        if agent.instructions:
            words.append(f"--append-system-prompt={agent.instructions}")
        if "max_turns" in agent.options:
            words.append(f"--max-turns={agent.options['max_turns']}")
        env = {name: request.environ[name] for name in LOGIN_VARIABLES if name in request.environ}
        prompt = _continue_prompt(request.prompt) if resumed else request.prompt
        return LaunchPlan(
            argv=tuple(words),
            env={**QUIET, **env},
            first_input=_message(self._about, prompt, resumed=resumed),
            conversation_id=session,
        )

    def begin(self) -> ClaudeState:
        return ClaudeState()

    def decode(self, state: ClaudeState, frame: Frame) -> tuple[ClaudeState, Sequence[e.RunFact]]:
        said = json_object(frame.data)
        if said is None:
            return state, (self._voice.noticed("undecodable", as_text(frame.data[:500])),)
        facts: list[e.RunFact] = []
        session = _session_id(said.get("session_id"))
        if session is not None and session != state.session_id:
            state = replace(state, session_id=session)
            facts.append(self._voice.session(session))
        reading, more = state.reading.read(said, self._voice)
        state = replace(state, reading=reading)
        facts.extend(more)
        if is_result(said):
            state = replace(state, over=True, outcome=result_outcome(said, reading))
        return state, facts

    def is_over(self, state: ClaudeState) -> bool:
        return state.over

    def outcome(self, state: ClaudeState, exit: Exit) -> Outcome:
        if state.outcome is not None:
            return replace(state.outcome, exit_code=exit.code)
        return silent_end(exit)

    def interrupt(self) -> bytes | None:
        request = {"type": "control_request", "request_id": "interrupt", "request": {"subtype": "interrupt"}}
        return msgspec.json.encode(request)


def _message(about: About, prompt: str, *, resumed: bool) -> bytes:
    """The prompt as the first line. Its uuid makes a second delivery harmless: the CLI passes over a message
    that its conversation holds already. For the same reason a resumed conversation gets none: told to go on
    twice, it would wait for ever."""
    # Its own commands (/clear, /compact, …) begin the text; a task is text for the model and never a command.
    content = f"\n{prompt}" if prompt.startswith("/") else prompt
    line: dict[str, object] = {"type": "user", "message": {"role": "user", "content": content}}
    if not resumed:
        line["uuid"] = str(uuid.uuid5(_NAMESPACE, f"{about.run_id} prompt"))
    return msgspec.json.encode(line) + b"\n"


def _continue_prompt(prompt: str) -> str:
    return (
        "You were interrupted by a restart of this machine's software. Look at what is already done in the "
        f"workspace and go on with the task:\n\n{prompt}"
    )


def _session_id(given: object) -> str | None:
    """A UUID in its usual form; None for everything else. An agent's word must not become an option."""
    try:
        return str(uuid.UUID(given)) if isinstance(given, str) else None
    except ValueError:
        return None


def _is_on_record(session: str, environ: Mapping[str, str]) -> bool:
    """Whether the CLI has written down a conversation of this id, in whatever directory it took place."""
    given = environ.get("CLAUDE_CONFIG_DIR")
    folder = Path(given) if given else Path(environ.get("HOME", "/nonexistent")) / ".claude"
    return any(folder.glob(f"projects/*/{session}.jsonl"))


def _program(agent: Agent, environ: Mapping[str, str]) -> str:
    given = agent.options.get("program", "claude")
    found = shutil.which(given, path=environ.get("PATH"))
    if found is None:
        raise NotFound(f"{given} is not installed on this machine", hint=f"install it: {INSTALL}")
    return str(Path(found).absolute())


def _permissions(agent: Agent, checks: Sequence[Check]) -> tuple[str, ...]:
    """edit: files of the workspace and the task's own checks; the rest is denied. full: everything."""
    if agent.permissions is Permissions.FULL:
        return ("--permission-mode", "bypassPermissions")
    allowed = [rule for check in checks if (rule := _rule(check)) is not None]
    words = ("--permission-mode", "acceptEdits")
    return (*words, "--allowedTools", *allowed) if allowed else words


def _rule(check: Check) -> str | None:
    """The check's exact command as a permission rule; None when it cannot be written as one safely."""
    command = shlex.join(check.argv)
    return None if any(char in command for char in "()*\n") else f"Bash({command})"
