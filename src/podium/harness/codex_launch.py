"""How Codex is started: arguments, environment, first lines. Settings and servers come from here alone."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from podium.harness import codex_wire as wire
from podium.harness.base import LaunchPlan, LaunchRequest
from podium.harness.codex_login import login_of
from podium.harness.codex_records import conversation_id, fork_made, held_by, records_of
from podium.harness.common import with_attachments
from podium.kernel.errors import InvalidRequest, NotFound
from podium.kernel.nouns import Agent, McpServer, Permissions

ASKS = (
    "Your commands run in a read-only sandbox, also those that a person has allowed. A command that has to "
    "write anything or to use the network works only outside of it: ask for that at once, with "
    "sandbox_permissions set to require_escalated and a justification. A person answers."
)
"""Without it an allowed command is tried inside first, where it cannot write, and fails."""
INSTALL = "npm install -g @openai/codex"
CONFIG = ".codex/config.toml"
QUIET: dict[str, Any] = {
    "check_for_update_on_startup": False,
    "analytics.enabled": False,
    "features.plugins": False,
    "features.apps": False,
    "features.remote_plugin": False,
    "cli_auth_credentials_store": "file",
}
ALLOWED = {
    Permissions.EDIT: ("workspace-write", "on-request"),
    Permissions.ASK: ("read-only", "untrusted"),
    Permissions.FULL: ("danger-full-access", "never"),
}
"""Sandbox and when it asks. `untrusted` asks before every command and every edit."""
OURS = frozenset(
    {"model_provider", "model_providers", "sandbox_mode", "approval_policy", "sandbox_workspace_write"}
    | {"openai_base_url", "chatgpt_base_url", "projects", "profile", "profiles", "permissions", "notify"}
    | {"cli_auth_credentials_store", "default_permissions", "approvals_reviewer", "features", "analytics"}
)
"""What no file of a repository decides, trusted or not: who may do what, and where its secrets go."""


def plan_of(request: LaunchRequest) -> LaunchPlan:
    """Raises NotFound when the program is not installed, AuthRequired without a login."""
    agent = request.agent
    program = _program(agent, request.environ)
    login = login_of(request)
    servers, variables = _servers(request)
    hidden = (*login.secrets, *variables)
    settings = {**QUIET, "web_search": agent.options.get("web_search", "disabled"), **login.settings}
    if "effort" in agent.options:
        settings["model_reasoning_effort"] = agent.options["effort"]
    # Left to itself it trusts the workspace, and then honours what a repository says in its .codex.
    settings["projects"] = {str(request.workspace): {"trust_level": "untrusted"}}
    if hidden:
        settings["shell_environment_policy.exclude"] = list(hidden)
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={_toml(value)}")]
    forks, going_on = _conversation(request, login.folder)
    own = None if forks else going_on
    return LaunchPlan(
        argv=(program, "app-server", *words),
        env={**login.env, **variables},
        links=login.links,
        first_input=_first_lines(request, going_on, servers, forks=forks),
        conversation_id=own,
        login_dir=login.folder,
        taken=held_by(records_of(login.folder, own), request.said),
    )


def _conversation(request: LaunchRequest, folder: Path) -> tuple[bool, str | None]:
    """Whether a copy is to be made, and the conversation to copy or to go on with; None begins one. The
    program's own record decides: a copy that an earlier run has made is never made again, even when that run
    was lost before it could tell its name."""
    given = conversation_id(request.conversation_id)
    made = None
    if request.fork and request.opening == "again":
        made = fork_made(folder, given, request.workspace)
    going_on = made or (given if records_of(folder, given) else None)
    return request.fork and made is None and going_on is not None, going_on


def _first_lines(
    request: LaunchRequest, going_on: str | None, servers: dict[str, Any], *, forks: bool
) -> bytes:
    sandbox, approval = ALLOWED[request.agent.permissions]
    config = {**_of_repository(request.trusted), **({"mcp_servers": servers} if servers else {})}
    thread: dict[str, Any] = {
        "cwd": str(request.workspace),
        "sandbox": sandbox,
        "approvalPolicy": approval,
        "approvalsReviewer": "user",
        "config": config,
    }
    if request.agent.model:
        thread["model"] = request.agent.model
    instructions = [request.agent.instructions] if request.agent.instructions else []
    if request.agent.permissions is Permissions.ASK:
        instructions.append(ASKS)
    # A copy that is made only now has not heard the prompt.
    again = going_on is not None and not forks and request.opening != "next"
    asked = with_attachments(request.prompt, request.attachments)
    text = _continue_prompt(asked) if again else asked
    schema = None if request.output_schema is None else msgspec.to_builtins(_plain(request.output_schema))
    carried = wire.pack(wire.turn_params(text, schema=schema))
    if not carried:
        # Too long to be carried through the state: it stands before the conversation's next turn.
        instructions.append(f"The task:\n\n{text}")
        pointer = "Do the task that stands in your instructions under the words: The task."
        carried = wire.pack(wire.turn_params(pointer, schema=schema))
    if not carried:
        raise InvalidRequest("the output schema is too long for codex")
    if instructions:
        thread["developerInstructions"] = "\n\n".join(instructions)
    method = "thread/start"
    if going_on is not None:
        method = "thread/fork" if forks else "thread/resume"
        thread |= {"threadId": going_on, "excludeTurns": True}
    about = {"name": "podium", "title": "Podium", "version": "0"}
    hello = {"clientInfo": about, "capabilities": {"experimentalApi": True}}
    lines = [
        wire.request(wire.INITIALIZE, "initialize", hello).data,
        b'{"method":"initialized"}',
        wire.request(wire.OPEN, method, thread, carrying=carried).data,
    ]
    return b"".join(line + b"\n" for line in lines)


def _continue_prompt(prompt: str) -> str:
    return (
        "You were interrupted by a restart of this machine's software. Look at what is already done in the "
        f"workspace and go on with the task:\n\n{prompt}"
    )


def _servers(request: LaunchRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """The agent's MCP servers and the variables that hold their secrets."""
    servers: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for number, server in enumerate(request.agent.mcp_servers):
        servers[server.name] = entry = _server(server, request)
        secrets = request.server_secrets.get(server.name, {})
        if server.url and secrets:
            names = {header: f"PODIUM_MCP_{number}_{place}" for place, header in enumerate(sorted(secrets))}
            entry["env_http_headers"] = names
            variables |= {names[header]: value for header, value in secrets.items()}
        elif secrets:
            entry["env_vars"] = sorted(secrets)
            variables |= secrets
    return servers, variables


def _server(server: McpServer, request: LaunchRequest) -> dict[str, Any]:
    entry: dict[str, Any] = {"url": server.url}
    if not server.url:
        entry = {"command": server.argv[0], "args": list(server.argv[1:])}
    if request.agent.permissions is not Permissions.ASK:
        entry["default_tools_approval_mode"] = "approve"
    return entry


def _of_repository(trusted: Mapping[str, bytes]) -> dict[str, Any]:
    """Settings of the repository's own file, when the project trusts its content."""
    try:
        found = tomllib.loads(trusted.get(CONFIG, b"").decode())
    except ValueError as error:
        raise InvalidRequest(f"{CONFIG} of the repository cannot be read: {error}") from error
    return {key: _plain(value) for key, value in found.items() if key not in OURS}


def _plain(value: Any) -> Any:
    """As JSON data."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _toml(value: Any) -> str:
    """JSON is TOML for words, numbers, truth and lists of them; tables differ in one sign."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    return msgspec.json.encode(value).decode()


def _program(agent: Agent, environ: Mapping[str, str]) -> str:
    given = agent.options.get("program", "codex")
    found = shutil.which(given, path=environ.get("PATH"))
    if found is None:
        raise NotFound(f"{given} is not installed on this machine", hint=f"install it: {INSTALL}")
    return str(Path(found).absolute())
