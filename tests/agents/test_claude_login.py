"""The logins of Claude Code through a real daemon: the user's own, one apart, a key by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from podium.testing.fleet import Fleet
from tests.agents.driving import playing
from tests.agents.gate import Gate
from tests.agents.heard import Heard, hearing
from tests.agents.tokens import Answer, vendor
from tests.support import eventually

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

ENDS_WITHIN_S = 120.0
SECRET = "sk-ant-api03-not-to-be-seen-anywhere"
LAID_OUT = pytest.mark.parametrize("named", [False, True], ids=["~/.claude", "CLAUDE_CONFIG_DIR"])
"""Where a user keeps the configuration."""


class User:
    """The user of a machine with a daemon, whose Claude Code is logged in with a subscription."""

    def __init__(self, folder: Path, program: Path, heard: Heard, **environ: str) -> None:
        self.home = folder / "user"
        self.home.mkdir()
        self.config = Path(environ.get("CLAUDE_CONFIG_DIR", self.home / ".claude"))
        self._program = program
        fixed = {
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": heard.url,
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "IS_SANDBOX": "1",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        self.podium = Fleet(folder / "home", separate=False, environ=fixed | environ)

    @property
    def apart(self) -> Path:
        return self.podium.home / "worker" / "sessions" / "claude_code"

    def agent(self, login: str) -> None:
        options = {"program": str(self._program)}
        body = {"harness": "claude_code", "options": options, "login": login, "permissions": "full"}
        self.podium.call("PUT", "/agents/claude", body)

    def open(self, *turns: dict[str, Any], **fields: Any) -> str:
        body = {"prompt": playing(*(turns or ({"say": "Said."},))), "agent": "claude", **fields}
        return str(self.podium.call("POST", "/tasks", body)["id"])

    def ended(self, task_id: str) -> tuple[str, str]:
        state = self.podium.wait_ended(task_id, ENDS_WITHIN_S)["state"]
        return state["word"], state["reason"]

    def why(self, task_id: str) -> str:
        run = self.podium.call("GET", f"/tasks/{task_id}")["run_id"]
        return str(self.podium.call("GET", f"/runs/{run}")["outcome"]["detail"])

    def files(self) -> set[Path]:
        """What there is of the user's own configuration."""
        return {path for path in self.home.rglob("*") if ".claude" in str(path)}


@contextmanager
def user(folder: Path, program: Path, heard: Heard, **environ: str) -> Iterator[User]:
    made = User(folder, program, heard, **environ)
    try:
        made.podium.start_all()
        yield made
    finally:
        made.podium.stop()


@pytest.fixture
def heard(model_url: str) -> Iterator[Heard]:
    with hearing(model_url) as found:
        yield found


def log_in(config: Path, word: str, *, expires_ms: int = 1_999_999_999_000) -> Path:
    """As the CLI leaves it; replaced in one step, as it does when it refreshes."""
    login = {
        "accessToken": f"sk-ant-oat01-{word}",
        "refreshToken": f"sk-ant-ort01-{word}",
        "expiresAt": expires_ms,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }
    config.mkdir(parents=True, exist_ok=True)
    path, new = config / ".credentials.json", config / ".credentials.json.new"
    new.write_text(json.dumps({"claudeAiOauth": login}))
    new.chmod(0o600)
    new.rename(path)
    return path


def token_in(path: Path) -> str:
    return str(json.loads(path.read_text())["claudeAiOauth"]["accessToken"])


class Tokens:
    """A token endpoint that takes each refresh token once."""

    def __init__(self, good: str) -> None:
        self._good = f"sk-ant-ort01-{good}"
        self.asked: list[str] = []

    def __call__(self, what: str, body: Any) -> Answer:
        if what != "POST /v1/oauth/token":
            return 404, {}
        self.asked.append(body["refresh_token"])
        if body["refresh_token"] != self._good:
            return 400, {"error": "invalid_grant", "error_description": "Refresh token not found or invalid"}
        self._good = "sk-ant-ort01-second"
        fresh = {"access_token": "sk-ant-oat01-second", "refresh_token": self._good, "expires_in": 28_800}
        return 200, {"token_type": "Bearer", "scope": "user:inference user:profile", **fresh}


# ---- the user's own login ------------------------------------------------------------------------------


@LAID_OUT
def test_a_token_that_has_run_out_is_refreshed_in_the_users_own_file(
    tmp_path: Path, claude: Path, heard: Heard, named: bool
) -> None:
    environ = {"CLAUDE_CONFIG_DIR": str(tmp_path / "user" / "of-mine")} if named else {}
    tokens = Tokens("first")
    with vendor(tmp_path, tokens) as there, user(tmp_path, claude, heard, **environ, **there.environ) as mine:
        login = log_in(mine.config, "first", expires_ms=1_600_000_000_000)
        mine.agent("user")
        assert mine.ended(mine.open()) == ("done", "")
        assert mine.ended(mine.open()) == ("done", "")
    assert tokens.asked == ["sk-ant-ort01-first"]
    assert [host for host, what, _ in there.asked if "token" in what] == ["platform.claude.com"]
    assert heard.keys == ["sk-ant-oat01-second"] * 2
    assert token_in(login) == "sk-ant-oat01-second"
    assert login.stat().st_mode & 0o777 == 0o600
    assert not mine.apart.exists()


def test_many_that_find_the_token_run_out_at_once_refresh_it_once(
    tmp_path: Path, claude: Path, heard: Heard
) -> None:
    tokens = Tokens("first")
    with vendor(tmp_path, tokens) as there, user(tmp_path, claude, heard, **there.environ) as mine:
        login = log_in(mine.config, "first", expires_ms=1_600_000_000_000)
        mine.agent("user")
        tasks = [mine.open() for _ in range(4)]
        assert [mine.ended(task) for task in tasks] == [("done", "")] * 4
    assert tokens.asked == ["sk-ant-ort01-first"]
    assert heard.keys == ["sk-ant-oat01-second"] * 4
    assert token_in(login) == "sk-ant-oat01-second"


def test_a_token_refused_before_its_time_is_refreshed(tmp_path: Path, claude: Path, model_url: str) -> None:
    tokens = Tokens("first")
    with (
        hearing(model_url, lambda key: 200 if key.endswith("second") else 401) as heard,
        vendor(tmp_path, tokens) as there,
        user(tmp_path, claude, heard, **there.environ) as mine,
    ):
        login = log_in(mine.config, "first")
        mine.agent("user")
        assert mine.ended(mine.open()) == ("done", "")
    assert heard.keys == ["sk-ant-oat01-first", "sk-ant-oat01-second"]
    assert token_in(login) == "sk-ant-oat01-second"


@pytest.mark.parametrize("expires_ms", [1_600_000_000_000, 1_999_999_999_000], ids=["run out", "withdrawn"])
def test_a_login_that_cannot_be_refreshed_says_what_to_type(
    tmp_path: Path, claude: Path, model_url: str, expires_ms: int
) -> None:
    tokens = Tokens("another")
    with (
        hearing(model_url, lambda key: 401) as heard,
        vendor(tmp_path, tokens) as there,
        user(tmp_path, claude, heard, **there.environ) as mine,
    ):
        log_in(mine.config, "first", expires_ms=expires_ms)
        mine.agent("user")
        task = mine.open()
        assert mine.ended(task) == ("failed", "auth_required")
        assert "/login" in mine.why(task)


def test_a_login_that_another_program_has_replaced_is_what_the_next_run_uses(
    tmp_path: Path, claude: Path, heard: Heard
) -> None:
    with user(tmp_path, claude, heard) as mine:
        mine.agent("user")
        for word in ("first", "second"):
            log_in(mine.config, word)
            assert mine.ended(mine.open()) == ("done", "")
    assert heard.keys == ["sk-ant-oat01-first", "sk-ant-oat01-second"]


# ---- one of Podium's own -------------------------------------------------------------------------------


def test_an_isolated_login_is_used_and_the_users_own_is_not_touched(
    tmp_path: Path, claude: Path, heard: Heard
) -> None:
    with user(tmp_path, claude, heard, ANTHROPIC_API_KEY=SECRET) as mine:
        log_in(mine.config, "mine")
        before = mine.files()
        mine.agent("isolated")
        task = mine.open()
        assert mine.ended(task) == ("failed", "auth_required")
        assert f"CLAUDE_CONFIG_DIR={mine.apart / 'isolated'} claude" in json.dumps(
            mine.podium.events(task=task)
        )
        log_in(mine.apart / "isolated", "apart")
        assert mine.ended(mine.open()) == ("done", "")
        assert mine.files() == before
    assert heard.keys == ["sk-ant-oat01-apart"]
    assert list((mine.apart / "isolated" / "projects").glob("*/*.jsonl"))


@LAID_OUT
@pytest.mark.parametrize(("first", "then"), [("user", "isolated"), ("isolated", "user")])
def test_a_conversation_goes_on_where_it_began_whatever_the_login_is_now(
    tmp_path: Path, claude: Path, heard: Heard, named: bool, first: str, then: str
) -> None:
    environ = {"CLAUDE_CONFIG_DIR": str(tmp_path / "user" / "of-mine")} if named else {}
    with user(tmp_path, claude, heard, **environ) as mine:
        log_in(mine.config, "user")
        log_in(mine.apart / "isolated", "isolated")
        mine.agent(first)
        turns = ({"say": "One."}, {"say": "Two."})
        begun = mine.open(*turns)
        assert mine.ended(begun) == ("done", "")
        mine.agent(then)
        more = mine.open(*turns, session=begun)
        assert mine.ended(more) == ("done", "")
        said = [one["event"]["text"] for one in mine.podium.events(task=more, type="run.said")]
        assert said == ["Two."], "the model was shown the conversation"
        assert mine.ended(mine.open()) == ("done", "")
    assert heard.keys == [f"sk-ant-oat01-{login}" for login in (first, first, then)]


# ---- a key by name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_key_reaches_the_agents_environment_and_nothing_else(
    tmp_path: Path, claude: Path, heard: Heard, source: str
) -> None:
    environ = {"MY_KEY": SECRET} if source == "environment" else {}
    gate = Gate(tmp_path)
    with user(tmp_path, claude, heard, ANTHROPIC_API_KEY="sk-ant-mine", **environ) as mine:
        keys = mine.podium.home / "keys"
        if source == "file":
            keys.mkdir(mode=0o700)
            (keys / "MY_KEY").write_text(f"{SECRET}\n")
            (keys / "MY_KEY").chmod(0o600)
        before = mine.files()
        mine.agent("key:MY_KEY")
        task = mine.open(gate.turn("claude"), {"say": "Said."})
        eventually(lambda: gate.count("began") == 1, ENDS_WITHIN_S)
        carriers = [environ for environ in everybodys("environ") if f"ANTHROPIC_API_KEY={SECRET}" in environ]
        assert carriers
        assert not any(f"MY_KEY={SECRET}" in environ for environ in carriers)
        assert not any(SECRET in words for words in everybodys("cmdline"))
        gate.let_go(1)
        assert mine.ended(task) == ("done", "")
        told = [mine.podium.cli(*words, task) for words in (["diagnose"], ["logs"], ["runs", "output"])]
        assert all(one.returncode == 0 for one in told), told
        assert not any(SECRET in one.stdout + one.stderr for one in told)
        assert SECRET not in json.dumps(mine.podium.events())
        assert mine.files() == before
        assert not holders_of(SECRET, tmp_path) - {keys / "MY_KEY"}
    assert set(heard.keys) == {SECRET}
    assert list((mine.apart / "key-MY_KEY" / "projects").glob("*/*.jsonl"))
    assert not holders_of(SECRET, tmp_path) - {keys / "MY_KEY"}


@pytest.mark.parametrize(("mode", "line"), [(None, "chmod 600"), (0o640, "chmod 600"), (0o604, "chmod 600")])
def test_a_key_that_is_missing_or_open_to_others_says_what_to_do(
    tmp_path: Path, claude: Path, heard: Heard, mode: int | None, line: str
) -> None:
    with user(tmp_path, claude, heard, ANTHROPIC_API_KEY="sk-ant-mine") as mine:
        path = mine.podium.home / "keys" / "MY_KEY"
        if mode is not None:
            path.parent.mkdir()
            path.write_text(SECRET)
            path.chmod(mode)
        mine.agent("key:MY_KEY")
        task = mine.open()
        assert mine.ended(task) == ("failed", "auth_required")
        told = json.dumps(mine.podium.events(task=task))
        assert line in told
        assert str(path) in told
        assert SECRET not in told
    assert heard.keys == [], "it does not fall back to another key"


def everybodys(what: str) -> list[str]:
    """The arguments, or the environment, of every process of this machine."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            found.append(Path(f"/proc/{pid}/{what}").read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return found


def holders_of(secret: str, folder: Path) -> set[Path]:
    """Files that hold it."""
    found = set()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and secret.encode() in path.read_bytes():
                found.add(path)
        except OSError:
            continue
    return found
