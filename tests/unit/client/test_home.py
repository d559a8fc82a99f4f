from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.client.home import (
    ServerFile,
    Target,
    find_target,
    podium_home,
    read_server_file,
    read_token,
    remove_server_file,
    target_of,
    write_server_file,
)
from podium.kernel.errors import Unauthorized, Unavailable


def give_token(home: Path, mode: int = 0o600) -> None:
    (home / "owner.token").write_text("secret\n")
    (home / "owner.token").chmod(mode)


def test_a_running_server_is_found_by_its_home(tmp_path: Path) -> None:
    server = ServerFile(url="http://127.0.0.1:4180", pid=os.getpid(), started=5, version="1")
    write_server_file(tmp_path, server)
    give_token(tmp_path)
    assert read_server_file(tmp_path) == server
    assert target_of(tmp_path) == Target(url=server.url, token="secret")
    assert find_target({"PODIUM_HOME": str(tmp_path)}) == target_of(tmp_path)
    assert (tmp_path / "server.json").stat().st_mode & 0o777 == 0o600


def test_without_a_server_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as missing:
        find_target({"PODIUM_HOME": str(tmp_path)})
    assert missing.value.hint == "start one: podium up"


def test_a_server_that_died_without_a_word_is_not_taken_for_running(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    write_server_file(tmp_path, ServerFile(url="http://x", pid=child.pid))
    with pytest.raises(Unavailable, match="has ended"):
        read_server_file(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"url": 3}', '{"pid": 1}'])
def test_a_damaged_server_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    with pytest.raises(Unavailable, match="cannot be read"):
        read_server_file(tmp_path)


def test_removing_the_server_file_twice_is_fine(tmp_path: Path) -> None:
    write_server_file(tmp_path, ServerFile(url="http://x", pid=1))
    remove_server_file(tmp_path)
    remove_server_file(tmp_path)
    with pytest.raises(Unavailable):
        read_server_file(tmp_path)


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized):
        read_token(tmp_path)
    give_token(tmp_path, 0o644)
    with pytest.raises(Unauthorized, match="read by others"):
        read_token(tmp_path)


def test_a_server_elsewhere_is_named_by_the_environment(tmp_path: Path) -> None:
    environ = {"PODIUM_HOME": str(tmp_path), "PODIUM_URL": "http://127.0.0.1:9", "PODIUM_TOKEN": "t"}
    assert find_target(environ) == Target(url="http://127.0.0.1:9", token="t")


def test_the_home_is_below_the_users_own_unless_set() -> None:
    assert podium_home({}) == Path.home() / ".podium"
    assert podium_home({"PODIUM_HOME": "/somewhere"}) == Path("/somewhere")
