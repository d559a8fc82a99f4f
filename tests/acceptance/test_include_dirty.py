"""`podium run --include-dirty`, as a person uses it."""

from __future__ import annotations

import hashlib
import json

from .conftest import git

HELPS = (
    "agents",
    "add",
    "helper",
    "--harness",
    "command",
    "--",
    "sh",
    "-c",
    "cat a.txt b.txt; echo agent > c.txt",
)


def fingerprint(repository) -> str:
    index = (repository / ".git" / "index").read_bytes()
    state = [
        git(repository, *words) for words in (("for-each-ref",), ("rev-parse", "HEAD"), ("stash", "list"))
    ]
    return hashlib.sha256(index + "".join(state).encode()).hexdigest()


def dirty(repository) -> None:
    (repository / "a.txt").write_text("hello\nmine\n")
    (repository / "b.txt").write_text("new\n")


def newest(fleet) -> str:
    return str(json.loads(fleet.cli("tasks", "list", "--json").stdout)["items"][0]["id"])


def test_without_it_the_user_is_told_what_is_left_out_and_how_to_take_it_in(fleet, repository):
    fleet.cli(*HELPS)
    dirty(repository)
    done = fleet.cli("run", "help", "--agent", "helper", "--detach", cwd=repository)
    assert done.returncode == 0
    assert f"2 uncommitted file(s) in {repository} are not included" in done.stderr
    assert "--include-dirty" in done.stderr


def test_the_agent_sees_it_the_checkout_is_untouched_and_apply_never_loses_it(fleet, repository):
    fleet.cli(*HELPS)
    dirty(repository)
    before = fingerprint(repository)
    done = fleet.cli("run", "help", "--agent", "helper", "--include-dirty", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "2 uncommitted file(s)" in done.stderr
    assert all(line in done.stdout.splitlines() for line in ("hello", "mine", "new"))
    assert fingerprint(repository) == before
    task = newest(fleet)
    assert "artifact_" in fleet.cli("tasks", "show", task).stdout
    diff = fleet.cli("diff", task).stdout
    assert "+agent" in diff
    assert "+mine" not in diff

    refused = fleet.cli("apply", task, cwd=repository)
    assert refused.returncode == 1
    assert "commit them, then apply again" in refused.stderr
    assert fleet.cli("apply", task, "--branch", "both", cwd=repository).returncode == 0
    assert git(repository, "show", "both:b.txt") == "new\n"
    assert (repository / "a.txt").read_text() == "hello\nmine\n"

    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "mine")
    assert fleet.cli("apply", task, cwd=repository).returncode == 0
    subjects = git(repository, "log", "--format=%s").splitlines()
    assert subjects == ["Work left uncommitted by helper", "mine", "one"]


def test_an_address_as_source_gets_what_it_lacks_from_the_checkout_you_are_in(fleet, repository, tmp_path):
    fleet.cli(*HELPS)
    bare = tmp_path / "shared.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(repository, "remote", "add", "origin", f"file://{bare}")
    git(repository, "commit", "-q", "--allow-empty", "-m", "not pushed")
    dirty(repository)
    words = ("run", "help", "--agent", "helper", "--include-dirty", "--repo", f"file://{bare}")
    done = fleet.cli(*words, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout.splitlines()
    assert git(repository, "log", "-1", "--format=%s") == "not pushed\n"


def test_what_cannot_be_included_is_an_error_with_a_next_step(fleet, repository, tmp_path):
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    refused = fleet.cli("run", "help", "--include-dirty", cwd=nowhere)
    assert (refused.returncode, "--repo" in refused.stderr) == (1, True)
    both = fleet.cli("run", "help", "--include-dirty", "--base", "main", cwd=repository)
    assert (both.returncode, "--base" in both.stderr) == (2, True)
    huge = repository / "huge"
    with huge.open("wb") as file:
        file.truncate(600 * 1024 * 1024)
    large = fleet.cli("run", "help", "--include-dirty", "--json", cwd=repository)
    assert json.loads(large.stderr)["error"]["code"] == "too_large"
    assert json.loads(fleet.cli("tasks", "list", "--json").stdout)["items"] == []


def test_a_clean_checkout_needs_no_snapshot(fleet, repository):
    fleet.cli("agents", "add", "looks", "--harness", "command", "--", "ls")
    done = fleet.cli("run", "look", "--agent", "looks", "--include-dirty", cwd=repository)
    assert done.returncode == 0
    assert "Nothing" in done.stderr
    assert json.loads(fleet.cli("tasks", "show", newest(fleet), "--json").stdout)["snapshot"] is None
