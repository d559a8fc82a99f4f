"""Codex itself, through its harness, as an ordinary process."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.harness.base import Said
from podium.harness.codex import Codex
from podium.harness.codex_launch import CONFIG
from podium.kernel import events as e
from podium.kernel.errors import AuthRequired
from podium.kernel.inquiry import Decision, EffectKind
from podium.kernel.nouns import McpServer, Permissions, Reason
from podium.kernel.session import Mode
from tests.agents.codex_driving import CodexBench, Talk, message_id, saying
from tests.agents.driving import playing, shell
from tests.support import eventually

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

CLASSIC = "gpt-5.5"
"""A model that is offered a shell and `apply_patch` as tools of their own."""
EDIT = {"tool": "edit", "input": {"path": "add.py", "old": "    return a - b", "new": "    return a + b"}}
WAIT = shell("python3 -c 'import signal; signal.pause()'")


def write(path: str, text: str = "x\n") -> dict[str, Any]:
    return {"tool": "write", "input": {"path": path, "text": text}}


def escalated(command: str) -> dict[str, Any]:
    given = {"command": command, "sandbox_permissions": "require_escalated", "justification": "It must be."}
    return {"tool": "shell", "input": given}


def once(kind: type[e.RunFact], act: Any) -> Any:
    """Do something at the first event of a kind."""
    seen: list[e.RunFact] = []

    def do(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, kind) and not seen:
            seen.append(fact)
            act(talk)

    return do


@pytest.mark.parametrize("model", [CLASSIC, "", "some-model-of-mine"])
def test_a_run_reads_and_edits_a_file_and_tells_all_of_it(codex: CodexBench, model: str) -> None:
    (codex.workspace / "add.py").write_text("def add(a, b):\n    return a - b\n")
    reading = {"tool": "read", "input": {"path": "add.py"}}
    ended = codex.run(
        playing(
            {"think": "Look first.", "say": "Reading.", "calls": [reading]},
            {"calls": [EDIT]},
            {"say": "Mended."},
        ),
        model=model,
    )
    assert ended.outcome.succeeded, ended.outcome
    assert (codex.workspace / "add.py").read_text().endswith("a + b\n")
    assert ended.said == ["Reading.", "Mended."]
    assert [fact.text for fact in ended.of(e.RunThought)] == ["Look first."]
    called = [fact.call_id for fact in ended.of(e.RunToolCalled)]
    assert len(called) == 2
    assert [fact.call_id for fact in ended.of(e.RunToolReturned)] == called


def test_tokens_are_those_of_the_run_and_a_resumed_conversation_counts_only_what_is_new(
    codex: CodexBench,
) -> None:
    usage = {"input": 2000, "output": 100, "cache_read": 500}
    first = codex.run(playing({"say": "One.", "usage": usage}, {"say": "Two.", "usage": usage}))
    second = codex.run("Go on.", run="run_2", conversation_id=first.conversation, opening="next")
    assert (first.said, second.said) == (["One."], ["Two."])
    for ended in (first, second):
        told = ended.usage
        assert (told.input_tokens, told.output_tokens, told.cached_tokens) == (2000, 100, 500)
        assert told.cost_usd is None
    assert second.conversation == first.conversation


def test_a_fork_goes_on_under_an_id_of_its_own_and_counts_only_itself(codex: CodexBench) -> None:
    first = codex.run(playing({"say": "One."}, {"say": "Two."}))
    fork = codex.run("Go on.", run="run_2", conversation_id=first.conversation, opening="next", fork=True)
    again = codex.run("Go on.", run="run_3", conversation_id=first.conversation, opening="next")
    assert (fork.said, again.said) == (["Two."], ["Two."])
    assert fork.conversation != first.conversation == again.conversation
    assert fork.usage == again.usage == first.usage


def test_a_conversation_that_was_never_written_down_starts_afresh(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"say": "From the start."}),
        conversation_id="01a220dc-9737-7c90-88bb-dc66a1c86ee0",
        opening="again",
    )
    assert ended.said == ["From the start."]


def test_after_a_sigkill_the_conversation_goes_on_where_it_stood(codex: CodexBench) -> None:
    prompt = playing(
        {"calls": [write("one.txt")]}, {"delay_ms": 3000, "calls": [write("two.txt")]}, {"say": "Both."}
    )
    killed = codex.run(prompt, do=once(e.RunUsed, lambda talk: talk.kill()), model=CLASSIC)
    assert killed.outcome.lost
    (codex.workspace / "one.txt").write_text("kept")
    resumed = codex.run(
        prompt, run="run_2", conversation_id=killed.conversation, opening="again", model=CLASSIC
    )
    assert resumed.outcome.succeeded, resumed.outcome
    assert resumed.said[-1:] == ["Both."]
    assert (codex.workspace / "one.txt").read_text() == "kept", "a finished call was made again"
    assert (codex.workspace / "two.txt").exists()


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        ({"status": 401}, Reason.AUTH_REQUIRED),
        ({"status": 404}, Reason.MODEL_UNAVAILABLE),
        ({"status": 429}, Reason.RATE_LIMITED),
        ({"status": 402}, Reason.BILLING),
        ({"status": 500}, Reason.SERVER_ERROR),
        ({"status": 529}, Reason.OVERLOADED),
        ({"status": 503, "error": {"code": "server_is_overloaded"}}, Reason.OVERLOADED),
        ({"status": 400, "error": {"code": "context_length_exceeded"}}, Reason.CONTEXT_OVERFLOW),
        ({"status": 400, "in_stream": True, "error": {"code": "cyber_policy"}}, Reason.REFUSED),
        ({"status": 429, "in_stream": True, "error": {"code": "rate_limit_exceeded"}}, Reason.RATE_LIMITED),
    ],
)
def test_an_error_of_the_model_is_told_by_its_kind(codex: CodexBench, fail: Any, reason: Reason) -> None:
    ended = codex.run(playing({"fail": fail}))
    assert not ended.outcome.succeeded
    assert ended.outcome.reason is reason, ended.outcome
    assert not ended.outcome.lost
    assert ended.said == []
    assert ended.notices[-1] == "api_error"


def test_a_used_up_limit_says_when_it_ends(codex: CodexBench) -> None:
    headers = {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1795900000",
    }
    error = {"type": "usage_limit_reached", "plan_type": "pro", "resets_at": 1795900000}
    ended = codex.run(playing({"fail": {"status": 429, "error": error, "headers": headers}}))
    assert ended.outcome.reason is Reason.RATE_LIMITED
    assert ended.outcome.resets_at is not None
    assert int(ended.outcome.resets_at.timestamp()) == 1795900000


def test_a_failure_that_passes_is_a_notice_and_no_more(codex: CodexBench) -> None:
    ended = codex.run(playing({"fail": {"status": 500, "times": 1}, "say": "At last."}))
    assert ended.outcome.succeeded, ended.outcome
    assert ended.said == ["At last."]


def test_a_cut_stream_is_the_network(codex: CodexBench) -> None:
    assert codex.run(playing({"say": "abcdef", "cut_after": 3})).outcome.reason is Reason.NETWORK


def test_a_refused_connection_is_waited_for_and_told(codex: CodexBench) -> None:
    """It tries again without end: the limits of the run end it."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        config = codex.user / "config.toml"
        config.write_text(
            config.read_text().replace(codex.url, f"http://127.0.0.1:{reserved.getsockname()[1]}")
        )

        def act(fact: e.RunFact, talk: Talk) -> None:
            if isinstance(fact, e.RunNoticed) and fact.kind == "api_retry":
                talk.interrupt()

        ended = codex.run(playing({"say": "Never."}), do=act)
    assert ended.outcome.reason is Reason.INTERRUPTED


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("model", [CLASSIC, "some-model-of-mine"])
def test_what_leaves_the_sandbox_is_asked_with_its_exact_command(
    codex: CodexBench, model: str, decision: Decision
) -> None:
    outside = codex.folder / "outside.txt"
    ended = codex.run(
        playing({"calls": [escalated(f"touch {outside}")]}, {"say": "So be it."}),
        decision=decision,
        model=model,
    )
    assert ended.outcome.succeeded, ended.outcome
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.kind, asked.effect.command) == (EffectKind.COMMAND, f"touch {outside}")
    assert (asked.effect.cwd, asked.why) == (str(codex.workspace), "It must be.")
    assert outside.exists() is (decision is Decision.ALLOW)
    assert ended.said == ["So be it."]


def apart(request: pytest.FixtureRequest) -> Path:
    held = tempfile.TemporaryDirectory(dir="/var/tmp")
    request.addfinalizer(held.cleanup)
    return Path(held.name)


def test_the_sandbox_lets_no_command_and_no_edit_out_of_the_workspace_unasked(
    codex: CodexBench, request: pytest.FixtureRequest
) -> None:
    # The sandbox leaves the directories for temporary files open, and there the tests' own ones are.
    place = apart(request)
    outside, patched = place / "outside.txt", place / "patched.txt"
    calls = [shell(f"touch {outside}; echo $? > code"), write(str(patched))]
    ended = codex.run(playing({"calls": calls}, {"say": "No."}), model=CLASSIC)
    assert (codex.workspace / "code").read_text() == "1\n"
    assert not outside.exists()
    assert not patched.exists()
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.kind, asked.effect.paths) == (EffectKind.EDIT, (str(patched),))
    assert "+x\n" in asked.effect.diff


@pytest.mark.parametrize("decision", list(Decision))
def test_with_ask_every_command_and_every_edit_is_asked(codex: CodexBench, decision: Decision) -> None:
    calls = [shell("ls"), shell("touch made.txt"), write("patched.txt")]
    ended = codex.run(
        playing({"calls": calls}, {"say": "Asked."}),
        permissions=Permissions.ASK,
        decision=decision,
        model=CLASSIC,
    )
    assert ended.said == ["Asked."], ended.outcome
    kinds = [asked.effect.kind for asked in ended.of(e.RunAsked)]
    assert sorted(kinds) == ["command", "command", "edit"]
    allowed = decision is Decision.ALLOW
    for name in ("made.txt", "patched.txt"):
        assert (codex.workspace / name).exists() is allowed
    assert [fact.is_error for fact in ended.of(e.RunToolReturned)] == [not allowed] * 3


def test_full_permissions_run_any_command_unasked(codex: CodexBench) -> None:
    outside = codex.folder / "outside.txt"
    ended = codex.run(
        playing({"calls": [shell(f"touch {outside}")]}, {"say": "Made."}), permissions=Permissions.FULL
    )
    assert ended.outcome.succeeded
    assert outside.exists()
    assert ended.of(e.RunAsked) == []


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


def test_an_answer_has_the_shape_that_was_asked_for(codex: CodexBench) -> None:
    schema = {
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
        "additionalProperties": False,
    }
    ended = codex.run(playing({"say": '{"sum": 3}'}), output_schema=schema)
    assert json.loads(json.dumps(ended.outcome.structured)) == {"sum": 3}


def test_settings_hooks_and_servers_of_the_user_and_the_repository_are_off(codex: CodexBench) -> None:
    marks = []
    for name, folder in (("user", codex.user), ("repository", codex.workspace / ".codex")):
        folder.mkdir(exist_ok=True)
        config = folder / "config.toml"
        old = config.read_text() if config.exists() else ""
        marks += [codex.folder / f"{name}-mcp", codex.folder / f"{name}-hook"]
        config.write_text(f'{old}\n[mcp_servers.x]\ncommand = "touch"\nargs = ["{marks[-2]}"]\n')
        hook = {"hooks": [{"type": "command", "command": f"touch {marks[-1]}"}]}
        hooks = {"SessionStart": [hook], "UserPromptSubmit": [hook]}
        (folder / "hooks.json").write_text(json.dumps({"hooks": hooks}))
    for permissions in Permissions:
        ended = codex.run(playing({"say": "Quiet."}), permissions=permissions)
        assert ended.outcome.succeeded, ended.outcome
    assert [mark for mark in marks if mark.exists()] == []


def test_a_file_of_the_repository_counts_when_its_content_is_trusted(codex: CodexBench) -> None:
    mark = codex.folder / "mark"
    trusted = f'sandbox_mode = "danger-full-access"\n[mcp_servers.x]\ncommand = "touch"\nargs = ["{mark}"]\n'
    codex.run(playing({"say": "Quiet."}), trusted={CONFIG: trusted.encode()})
    assert mark.exists()


def test_the_agents_own_servers_work_and_their_secrets_stand_in_no_argument(codex: CodexBench) -> None:
    server = McpServer(name="board", argv=(sys.executable, str(Path(__file__).with_name("mcp_server.py"))))
    call = {"tool": "mcp", "input": {"server": "board", "tool": "whisper", "input": {}}}
    for model in ("", "some-model-of-mine"):
        ended = codex.run(
            playing({"calls": [call]}, {"say": "Told."}),
            mcp_servers=(server,),
            server_secrets={"board": {"BOARD_TOKEN": "very-secret"}},
            model=model,
        )
        assert ended.said == ["Told."], ended.outcome
        assert [fact.name for fact in ended.of(e.RunToolCalled)] == ["mcp__board__whisper"]
        assert [fact.output for fact in ended.of(e.RunToolReturned)] == ["11 characters"]
        assert not any("very-secret" in word for word in ended.plan.argv)
        assert not any(b"very-secret" in frame for frame in [*ended.frames, ended.plan.first_input])


def test_its_commands_do_not_see_the_key(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"calls": [shell("env")]}, {"say": "Seen."}), login="key:MINE", secret="very-secret"
    )
    assert ended.outcome.succeeded, ended.outcome
    [returned] = ended.of(e.RunToolReturned)
    assert "PATH=" in returned.output
    assert "very-secret" not in returned.output


def test_tokens_that_are_refreshed_stay_the_users_own(codex: CodexBench) -> None:
    provider = f'base_url = "{codex.url}/v1"\nwire_api = "responses"\nrequires_openai_auth = true\n'
    config = f'model_provider = "sim"\n[model_providers.sim]\nname = "sim"\n{provider}'
    (codex.user / "config.toml").write_text(config)
    auth = codex.user / "auth.json"
    auth.write_text(json.dumps(login_of_a_subscription("first", expires=1_600_000_000)))
    fresh = login_of_a_subscription("second", expires=1_999_999_999)["tokens"]
    with answering(json.dumps(fresh).encode()) as url:
        codex.extra["CODEX_REFRESH_TOKEN_URL_OVERRIDE"] = url
        ended = codex.run(playing({"say": "One."}))
    assert ended.said == ["One."], ended.outcome
    assert json.loads(auth.read_text())["tokens"]["refresh_token"] == "second"
    assert (codex.keep / "codex" / "user" / "auth.json").readlink() == auth


def login_of_a_subscription(refresh: str, *, expires: int) -> dict[str, Any]:
    about = {"chatgpt_plan_type": "pro", "chatgpt_account_id": "acc", "chatgpt_user_id": "u"}
    claims = {"email": "a@b.c", "exp": expires, "https://api.openai.com/auth": about}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in ({"alg": "none"}, claims)]
    token = ".".join([*(part.decode().rstrip("=") for part in parts), "c2ln"])
    tokens = {"id_token": token, "access_token": token, "refresh_token": refresh, "account_id": "acc"}
    return {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens,
        "last_refresh": "2024-01-01T00:00:00Z",
    }


@contextlib.contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that has one answer."""

    class One(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), One) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/oauth/token"
        finally:
            server.shutdown()


def test_without_any_login_the_line_to_type_is_told(codex: CodexBench) -> None:
    (codex.user / "config.toml").unlink()
    for login, line in (("user", "codex login"), ("isolated", "CODEX_HOME=")):
        with pytest.raises(AuthRequired) as caught:
            codex.run("x", login=login)
        assert line in caught.value.hint


def test_a_prompt_of_a_million_bytes_arrives(codex: CodexBench) -> None:
    noise = random.Random(0).randbytes(500_000).hex()
    assert codex.run(playing({"say": "Read."}, words=noise)).said == ["Read."]


def test_a_task_that_begins_with_a_slash_is_no_command_of_the_cli(codex: CodexBench) -> None:
    assert codex.run(playing({"say": "Played."}, words="/compact")).said == ["Played."]


def test_the_cli_writes_only_where_it_was_told(codex: CodexBench) -> None:
    codex.run(playing({"say": "Clean."}))
    assert [path.name for path in codex.workspace.iterdir()] == [".git"]
    assert [path.name for path in codex.user.iterdir()] == ["config.toml"]
