"""Places and names that programs trip over: spaces, quotes, dashes, pathspec magic, pipes and sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from podium.kernel.nouns import Reason
from podium.kernel.states import TaskState
from podium.store.backup import back_up

from .conftest import EDIT, change_of, commit, git, patch_of, rig_with_agent, shell, worked

pytestmark = pytest.mark.anyio
ODD = [
    "with space",
    "quote'd",
    'double"d',
    "$(touch x)`touch y`;&|",
    "größe",
    "a:b",
    "back\\slash",
    "#hash%20?x=1",
    "-dash",
]


@pytest.mark.parametrize("name", ODD)
async def test_a_repository_in_an_oddly_named_directory_is_worked_on(tmp_path, make, name):
    source = make(name)
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, EDIT, {"do": "commit", "message": "bye"})
        assert done.state.word is TaskState.DONE, done.state
        assert b"+bye" in await patch_of(rig, done)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "home"])


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", ODD)
async def test_a_home_in_an_oddly_named_directory_serves(tmp_path, make, name):
    source = make("source")
    async with rig_with_agent(tmp_path / name) as rig:
        done = await worked(rig, source, EDIT, {"do": "commit", "message": "bye"})
        assert done.state.word is TaskState.DONE, done.state
        assert b"+bye" in await patch_of(rig, done)
        back_up(tmp_path / name, tmp_path / "backup")
    async with rig_with_agent(tmp_path / name) as rig:
        assert (await rig.task(done.id)).id == done.id, "opened again"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "source", "backup"])


async def test_a_repository_reached_by_a_link_or_as_a_linked_worktree_is_worked_on(tmp_path, make):
    source = make("source")
    (tmp_path / "link").symlink_to(source)
    git(source, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    (tmp_path / "tree" / "side.txt").write_text("x")
    commit(tmp_path / "tree", "side")
    async with rig_with_agent(tmp_path / "home") as rig:
        assert (await worked(rig, tmp_path / "link", EDIT)).state.word is TaskState.DONE
        done = await worked(rig, tmp_path / "tree", shell("test -e side.txt"), EDIT)
        assert done.state.word is TaskState.DONE, done.state


async def test_a_repository_of_sha_256_is_worked_on_or_refused_with_a_reason(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main", "--object-format=sha256")
    (source / "a.txt").write_text("hello\n")
    commit(source, "one")
    async with rig_with_agent(tmp_path / "home") as rig:
        ended = await worked(rig, source, EDIT)
        if ended.state.word is TaskState.DONE:
            assert b"+bye" in await patch_of(rig, ended)
        else:
            assert ended.state.reason == Reason.REPOSITORY, ended.state


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
async def test_a_repository_of_another_user_is_worked_on_or_refused_with_the_next_step(tmp_path, make):
    source = make("source")
    for path in (source, *source.rglob("*")):
        os.lchown(path, 65534, 65534)
    async with rig_with_agent(tmp_path / "home") as rig:
        ended = await worked(rig, source, EDIT)
        if ended.state.word is not TaskState.DONE:
            assert ended.state.reason == Reason.REPOSITORY, ended.state
            assert "safe.directory" in ended.state.evidence.detail, ended.state


NAMES = [
    "-rf",
    "--",
    ":(top)x",
    ":!x",
    "*",
    "?",
    "[a]",
    "\\",
    "a\nb",
    "a\tb",
    '"',
    " ",
    "~",
    "HEAD",
    "é",
    "e\u0301",
]


async def test_files_with_names_that_mean_something_to_git_are_saved_under_exactly_those(tmp_path, make):
    source = make("source")
    plant = "import sys; [open(name, 'w').write('x') for name in sys.argv[1:]]"
    step = {"do": "run", "argv": ["python3", "-c", plant, *NAMES], "expect_code": 0}
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, step)
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        listed = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-rz", "--name-only", change.tip)
    assert sorted(listed.split("\0")[:-1]) == sorted(["a.txt", *NAMES])
    assert change.files == len(NAMES)


async def test_pipes_sockets_and_empty_directories_hold_nothing_up(tmp_path, make):
    source = make("source")
    leave = "mkfifo pipe; mkdir -p deep/empty; mkdir 'd'; mkfifo d/pipe; echo x > d/file; ln pipe again"
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, shell(leave), EDIT)
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        listed = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-r", "--name-only", change.tip)
    assert listed.split() == ["a.txt", "d/file"]


async def test_a_file_that_replaces_a_directory_and_the_other_way_round_is_seen(tmp_path, make):
    source = make("source")
    (source / "d").mkdir()
    (source / "d" / "x").write_text("x")
    commit(source, "d")
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(
            rig, source, shell("rm -r d a.txt; echo now > d; mkdir a.txt; echo in > a.txt/in")
        )
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        listed = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-r", "--name-only", change.tip)
    assert listed.split() == ["a.txt/in", "d"]


async def test_a_prompt_of_a_mebibyte_that_grows_sixfold_in_json_arrives_whole(tmp_path):
    """Control characters are six bytes each on the wire."""
    from podium.engine.commands import OpenTask
    from podium.kernel.nouns import MAX_PROMPT_BYTES, Agent

    argv = '["sh", "-c", "exit 0"]'
    async with rig_with_agent(tmp_path / "home") as rig:
        await rig.define(Agent(name="any", harness="command", options={"argv": argv}))
        prompt = "\x01" * (MAX_PROMPT_BYTES - 1) + "x"
        done = await rig.ended((await rig.open(OpenTask(prompt=prompt, agent="any"))).id)
        assert done.state.word is TaskState.DONE, done.state
        assert done.title.isprintable()


async def test_a_socket_left_in_a_repository_is_no_reason_to_fail(tmp_path, make):
    source = make("source")
    here = Path.cwd()
    os.chdir(source)
    try:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind("s")
    finally:
        os.chdir(here)
    async with rig_with_agent(tmp_path / "home") as rig:
        assert (await worked(rig, source, EDIT)).state.word is TaskState.DONE
