"""How Claude Code is started: arguments, environment, files. Settings and servers come from here alone."""

from __future__ import annotations

import itertools
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from podium.harness.base import About, LaunchPlan, LaunchRequest
from podium.harness.common import json_object, with_attachments
from podium.kernel.errors import AuthRequired, NotFound
from podium.kernel.ids import MessageId
from podium.kernel.nouns import Agent, Check, McpServer, Permissions
from podium.kernel.session import uuid_of

INSTALL = "npm install -g @anthropic-ai/claude-code"
CONFIG_DIR = "CLAUDE_CONFIG_DIR"
LOGIN_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
)
"""Of the worker's environment, for `login: user`: how the user's own `claude` finds its login."""
PLAIN_VARIABLES = ("ANTHROPIC_BASE_URL", "CLAUDE_CODE_MAX_RETRIES", "API_TIMEOUT_MS", "IS_SANDBOX")
"""Of the worker's environment, always: which server, how patiently. IS_SANDBOX is what it demands from root
before it runs with full permissions."""
QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    # Tools of servers are told to the model at once, not only after a search for them.
    "ENABLE_TOOL_SEARCH": "false",
}
NAMESPACE = uuid.UUID("6f1c8a52-3b0e-5c55-9d57-0d4a5f7a0c11")
LOGIN_FILES = (".credentials.json", ".claude.json")
"""Whoever logs in leaves one of them in the configuration directory, wherever the login itself is kept."""
MAX_HUSKS = 100
"""A run is started a handful of times at most."""
SETTINGS, SERVERS = ".claude/settings.json", ".mcp.json"


def plan_of(about: About, request: LaunchRequest) -> LaunchPlan:
    """Raises NotFound when the program is not installed, AuthRequired."""
    agent = request.agent
    folder, env = _login(request)
    conversation, words = _conversation(about, request, folder)
    resumed = words[0].startswith("--resume=") and len(words) == 1
    taken = _on_record_already(request, folder, conversation) if resumed else ()
    files, configured = _files(request)
    argv = [
        _program(agent, request.environ),
        *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
        *("--include-partial-messages", "--setting-sources", "", "--strict-mcp-config"),
        *("--permission-prompt-tool", "stdio", "--disallowedTools", "AskUserQuestion"),
        *words,
        *_permissions(agent, request.checks),
        *configured,
    ]
    if request.attachments:
        # To be read without asking. What it does to them there is nobody's loss.
        argv.append(f"--add-dir={request.attachments[0].parent}")
    if agent.model:
        argv.append(f"--model={agent.model}")
    if agent.instructions:
        argv.append(f"--append-system-prompt={agent.instructions}")
    if "max_turns" in agent.options:
        argv.append(f"--max-turns={agent.options['max_turns']}")
    if request.output_schema is not None:
        argv.append(f"--json-schema={msgspec.json.encode(request.output_schema).decode()}")
    again = resumed and request.opening != "next"
    asked = with_attachments(request.prompt, request.attachments)
    prompt = _continue_prompt(asked) if again else asked
    return LaunchPlan(
        argv=tuple(argv),
        env={**QUIET, **env},
        files=files,
        first_input=_first_line(about, prompt, dedupe=not again),
        conversation_id=conversation,
        login_dir=folder,
        taken=taken,
    )


def conversation_id(given: object) -> str | None:
    """A UUID in its usual form; None for everything else. An agent's word must not become an option."""
    try:
        return str(uuid.UUID(given)) if isinstance(given, str) else None
    except ValueError:
        return None


def as_text_for_model(text: str) -> str:
    """Its own commands (/clear, /compact, …) begin the text; what a person says is never a command."""
    return f"\n{text}" if text.startswith("/") else text


def _conversation(about: About, request: LaunchRequest, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Its id and the options that begin or resume it. The program's own record decides, not what we were
    told: an id that it knows cannot be given to a new conversation, one that it does not know (killed before
    it wrote a word) cannot be resumed."""
    given = conversation_id(request.conversation_id)
    ours = (str(uuid.uuid5(NAMESPACE, f"{about.run_id}{more}")) for more in ("", *range(2, MAX_HUSKS)))
    possible = ours if request.fork or given is None else itertools.chain((given,), ours)
    chosen = next(one for one in possible if not _is_husk(_records(folder, one)))
    if _records(folder, chosen):
        return chosen, (f"--resume={chosen}",)
    if request.fork and given is not None:
        return chosen, (f"--resume={given}", "--fork-session", f"--session-id={chosen}")
    return chosen, (f"--session-id={chosen}",)


def _is_husk(records: Sequence[Path]) -> bool:
    """Killed in its first moments it leaves a record without a word in it, whose id can neither be resumed
    nor given to a new conversation."""
    return bool(records) and not any(_is_message(line) for path in records for line in _lines(path))


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _is_message(line: bytes) -> bool:
    said = json_object(line)
    return said is not None and said.get("type") in ("user", "assistant")


def _records(folder: Path, conversation: str) -> list[Path]:
    """What the CLI has written down of it, in whatever directory it took place."""
    return list(folder.glob(f"projects/*/{conversation}.jsonl"))


def _is_of_queue(line: bytes) -> bool:
    """A note that a message waits for its turn, or has just been taken from there: the conversation has it
    with the line after that."""
    return (json_object(line) or {}).get("type") == "queue-operation"


def _on_record_already(request: LaunchRequest, folder: Path, conversation: str) -> tuple[MessageId, ...]:
    """Messages that the conversation holds: the program would pass over a second copy without a word."""
    if not request.said:
        return ()
    wanted = {said.id: f'"{uuid_of(said.id)}"'.encode() for said in request.said}
    held = {
        message_id
        for path in _records(folder, conversation)
        for line in _lines(path)
        for message_id, word in wanted.items()
        if word in line and not _is_of_queue(line)
    }
    return tuple(message_id for message_id in wanted if message_id in held)


def _login(request: LaunchRequest) -> tuple[Path, dict[str, str]]:
    """The configuration directory, and the environment that makes the program use it and the right login.
    Raises AuthRequired when nobody ever logged in in a directory of Podium's own."""
    environ, login = request.environ, request.agent.login
    default = Path(environ.get("HOME", "/nonexistent")) / ".claude"
    own = Path(environ[CONFIG_DIR]) if environ.get(CONFIG_DIR) else default
    env = {name: environ[name] for name in PLAIN_VARIABLES if name in environ}
    if login == "user":
        folder = request.login_dir or own
        env |= {name: environ[name] for name in LOGIN_VARIABLES if name in environ}
        if folder == default and not environ.get(CONFIG_DIR):
            return folder, env  # named explicitly, it would look for its login elsewhere
    else:
        folder = request.login_dir or request.keep_dir / "claude_code" / login.replace(":", "-")
        if request.secret is not None:
            env["ANTHROPIC_API_KEY"] = request.secret
        elif not any((folder / name).exists() for name in LOGIN_FILES):
            line = f"{CONFIG_DIR}={shlex.quote(str(folder))} claude, then /login"
            raise AuthRequired("claude is not logged in there on this machine", hint=f"type: {line}")
    return folder, env | {CONFIG_DIR: str(folder)}


def _files(request: LaunchRequest) -> tuple[dict[str, bytes], list[str]]:
    """Private files of the plan, and the options that name them: servers, and what the project trusts."""
    files: dict[str, bytes] = {}
    words: list[str] = []
    servers = {server.name: _server(server, request) for server in request.agent.mcp_servers}
    if servers:
        files["mcp.json"] = msgspec.json.encode({"mcpServers": servers})
    if SERVERS in request.trusted:
        files["repository-mcp.json"] = request.trusted[SERVERS]
    if files:
        words += ["--mcp-config", *(str(request.files_dir / name) for name in files)]
    if SETTINGS in request.trusted:
        files["repository-settings.json"] = request.trusted[SETTINGS]
        words += ["--settings", str(request.files_dir / "repository-settings.json")]
    return files, words


def _server(server: McpServer, request: LaunchRequest) -> dict[str, object]:
    secrets = dict(request.server_secrets.get(server.name, {}))
    if server.url:
        return {"type": "http", "url": server.url, "headers": secrets, "alwaysLoad": True}
    program, *rest = server.argv
    return {"type": "stdio", "command": program, "args": rest, "env": secrets, "alwaysLoad": True}


def _first_line(about: About, prompt: str, *, dedupe: bool) -> bytes:
    """The prompt. Its uuid makes a second delivery harmless: the CLI passes over a message that its
    conversation holds already. For the same reason one that is told to go on gets none: told so twice, it
    would wait for ever."""
    line: dict[str, object] = {
        "type": "user",
        "message": {"role": "user", "content": as_text_for_model(prompt)},
    }
    if dedupe:
        line["uuid"] = prompt_uuid(about)
    return msgspec.json.encode(line) + b"\n"


def prompt_uuid(about: About) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{about.run_id} prompt"))


def _continue_prompt(prompt: str) -> str:
    return (
        "You were interrupted by a restart of this machine's software. Look at what is already done in the "
        f"workspace and go on with the task:\n\n{prompt}"
    )


def _program(agent: Agent, environ: Mapping[str, str]) -> str:
    given = agent.options.get("program", "claude")
    found = shutil.which(given, path=environ.get("PATH"))
    if found is None:
        raise NotFound(f"{given} is not installed on this machine", hint=f"install it: {INSTALL}")
    return str(Path(found).absolute())


def _permissions(agent: Agent, checks: Sequence[Check]) -> tuple[str, ...]:
    """edit: files of the workspace and the task's own checks, it asks for the rest. ask: for everything that
    changes something. full: never."""
    if agent.permissions is Permissions.FULL:
        return ("--permission-mode", "bypassPermissions")
    if agent.permissions is Permissions.ASK:
        return ("--permission-mode", "manual")
    allowed = [rule for check in checks if (rule := _rule(check)) is not None]
    words = ("--permission-mode", "acceptEdits")
    return (*words, "--allowedTools", *allowed) if allowed else words


def _rule(check: Check) -> str | None:
    """The check's exact command as a permission rule; None when it cannot be written as one safely."""
    command = shlex.join(check.argv)
    return None if any(char in command for char in "()*\n") else f"Bash({command})"
