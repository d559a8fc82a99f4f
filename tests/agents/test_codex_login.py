"""Which login Codex works with, and who sees its secrets."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from podium.kernel import events as e
from podium.kernel.errors import AuthRequired
from tests.agents.codex_driving import CodexBench
from tests.agents.driving import playing, shell

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI


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
