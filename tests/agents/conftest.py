"""The real agent programs against the scripted model server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import cli
from tests.agents.codex_driving import CONFIG, CodexBench
from tests.agents.driving import Bench


@pytest.fixture(scope="session")
def claude() -> Path:
    try:
        return cli.claude()
    except cli.CannotInstall as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    words = [sys.executable, "-m", "podium.testing.model_server"]
    source = str(Path(__file__).resolve().parents[2] / "src")
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={"PYTHONPATH": source}) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


@pytest.fixture
def bench(tmp_path: Path, claude: Path, model_url: str) -> Bench:
    return Bench(tmp_path, claude, model_url)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    (path / "a.txt").write_text("hello\n")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
        named = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *words]
        subprocess.run(named, cwd=path, check=True, capture_output=True)
    return path


@pytest.fixture
def login(tmp_path: Path, model_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own environment, as a user's would be."""
    for name, value in {
        "HOME": str(tmp_path / "user"),
        "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
        "ANTHROPIC_BASE_URL": model_url,
        "ANTHROPIC_API_KEY": "sk-ant-dummy-0000",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "user").mkdir()


@pytest.fixture(scope="session")
def codex_program() -> Path:
    try:
        return cli.codex()
    except cli.CannotInstall as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def codex(tmp_path: Path, codex_program: Path, model_url: str) -> CodexBench:
    return CodexBench(tmp_path, codex_program, model_url)


@pytest.fixture
def users(tmp_path: Path, login: None, model_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both programs with a user's own configuration."""
    folder = tmp_path / "user" / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG.format(url=model_url))
    monkeypatch.setenv("SIM_API_KEY", "dummy")
    monkeypatch.setenv("IS_SANDBOX", "1")
