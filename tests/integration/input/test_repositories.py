"""Repositories as they are found in the wild: a clear word at once, or the work done; never half of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.kernel.nouns import Reason
from podium.kernel.states import TaskState
from podium.testing.rig import Rig
from tests.support import eventually_in_loop

from .conftest import EDIT, change_of, commit, git, log, patch_of, rig_with_agent, shell, worked

pytestmark = pytest.mark.anyio


def bare(path: Path, source: Path) -> Path:
    git(source, "clone", "-q", "--bare", str(source), str(path))
    return path


async def test_a_bare_repository_is_worked_on_like_any_other(tmp_path, make):
    home = bare(tmp_path / "bare.git", make("source"))
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, home, EDIT)
        assert done.state.word is TaskState.DONE, done.state
        assert b"+bye" in await patch_of(rig, done)


async def test_a_shallow_repository_is_worked_on_or_refused_with_a_reason(tmp_path, make):
    source = make("source")
    for number in range(3):
        (source / "b.txt").write_text(str(number))
        commit(source, f"more {number}")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{source}", str(tmp_path / "shallow"))
    async with rig_with_agent(tmp_path / "home") as rig:
        ended = await worked(rig, tmp_path / "shallow", EDIT)
        if ended.state.word is TaskState.DONE:
            assert b"+bye" in await patch_of(rig, ended)
        else:
            assert ended.state.reason == Reason.REPOSITORY
            assert "shallow" in ended.state.evidence.detail


async def test_a_dirty_checkout_gives_its_committed_state_and_stays_exactly_as_it_is(tmp_path, make):
    source = make("source")
    (source / "a.txt").write_text("mine\n")
    (source / "new.txt").write_text("mine too\n")
    git(source, "stash", "list")
    before = git(source, "status", "--porcelain")
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, shell("grep -q hello a.txt && ! test -e new.txt"), EDIT)
        assert done.state.word is TaskState.DONE, done.state
    assert git(source, "status", "--porcelain") == before
    assert (source / "a.txt").read_text() == "mine\n"
    assert git(source, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


async def test_an_unborn_or_detached_head_is_told_apart(tmp_path, make):
    source = make("source")
    git(source, "checkout", "-q", "--detach")
    async with rig_with_agent(tmp_path / "home") as rig:
        assert (await worked(rig, source, EDIT)).state.word is TaskState.DONE
        git(source, "checkout", "-q", "--orphan", "unborn")
        unborn = await worked(rig, source, EDIT)
        assert (unborn.state.word, unborn.state.reason) == (TaskState.FAILED, Reason.REPOSITORY)
        assert "(" in unborn.state.evidence.detail, "a next step"


async def test_a_repository_with_submodules_is_worked_on_and_the_link_is_kept(tmp_path, make):
    source, inner = make("source"), make("inner")
    git(source, "submodule", "--quiet", "add", str(inner), "lib")
    commit(source, "submodule")
    link = git(source, "ls-tree", "HEAD", "lib")
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, EDIT, {"do": "commit", "message": "bye"})
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        assert change.files == 1, "the submodule is untouched"
        mirror = rig.engine.mirrors.path(str(source))
        assert git(mirror, "ls-tree", change.tip, "lib") == link


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
async def test_file_names_that_are_no_text_travel_and_come_back_as_bytes(tmp_path, make):
    source = make("source")
    there = os.fsencode(source) + b"/caf\xe9 \xff.txt"
    with open(there, "wb") as file:
        file.write(b"one\n")
    commit(source, "latin")
    make_more = "printf 'two\\n' >> \"$(printf 'caf\\351 \\377.txt')\"; printf x > \"$(printf 'a\\tb\\nc')\""
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, source, shell(make_more))
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        assert change.files == 2
        listed = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-z", "--name-only", change.tip)
    assert b"caf\xe9 \xff.txt" in listed.encode("utf-8", "surrogateescape").split(b"\0")


async def test_links_out_of_the_tree_are_kept_as_links_and_never_followed(tmp_path, make):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("TOPSECRET\n")
    source = make("source")
    (source / "tracked").symlink_to(secret / "key")
    (source / "folder").symlink_to(secret)
    commit(source, "links")
    async with rig_with_agent(tmp_path / "home") as rig:
        plant = f"ln -s {secret}/key own; ln -s {secret} ownfolder; ln -s / root; ln -s loop loop"
        done = await worked(rig, source, shell(plant))
        assert done.state.word is TaskState.DONE, done.state
        change, patch = await change_of(rig, done), await patch_of(rig, done)
        tree = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-r", change.tip)
    modes = {line.split("\t")[1]: line.split()[0] for line in tree.splitlines()}
    assert modes == {
        "a.txt": "100644",
        **dict.fromkeys(("tracked", "folder", "own", "ownfolder", "root", "loop"), "120000"),
    }
    assert b"TOPSECRET" not in patch
    assert (secret / "key").read_text() == "TOPSECRET\n"
    assert [path.name for path in secret.iterdir()] == ["key"]


async def test_a_workspace_reached_by_a_planted_link_is_removed_without_its_target(tmp_path, make):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "x").write_text("x")
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(
            rig, make("source"), shell(f"mkdir d; ln -s {precious} d/out; echo d/ > .gitignore")
        )
        assert done.state.word is TaskState.DONE, done.state
        run = await rig.run_of(done.id)
        await settled(rig, run.id)
    assert (precious / "x").read_text() == "x"


async def settled(rig: Rig, run_id: str) -> None:
    """Until the worker has forgotten the run."""
    await eventually_in_loop(lambda: not rig.worker_home.run(run_id).path.exists())


async def test_a_file_of_300_megabytes_left_by_an_agent_is_named_and_the_rest_is_saved(tmp_path, make):
    async with rig_with_agent(tmp_path / "home") as rig:
        done = await worked(rig, make("source"), shell("truncate -s 300M huge.bin"), EDIT)
        assert done.state.word is TaskState.DONE, done.state
        change = await change_of(rig, done)
        assert change.files == 1
        assert "files_unsaved" in change.drift
        assert b"+bye" in await patch_of(rig, done)


LOOK_ALIKES = [".GIT", ".Git", "git~1", ".git\u200c"]


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=["upper", "mixed", "short", "invisible"])
async def test_a_look_alike_of_dot_git_that_an_agent_commits_never_gets_into_a_change(tmp_path, make, name):
    """On another file system it would be the repository's own directory, with its hooks."""
    source = make("source")
    plant = (
        "blob=$(echo '#!/bin/sh' | git hash-object -w --stdin); "
        "inner=$(printf '100755 blob %s\\tpost-checkout\\n' $blob | git mktree); "
        f"tree=$( (git ls-tree HEAD; printf '040000 tree %s\\t{name}\\n' $inner) | git mktree); "
        "made=$(git -c user.name=A -c user.email=a@localhost commit-tree $tree -p HEAD -m x); "
        "git update-ref HEAD $made; echo kept > kept.txt"
    )
    async with rig_with_agent(tmp_path / "home") as rig:
        ended = await worked(rig, source, shell(plant))
        run = await rig.run_of(ended.id)
        if ended.change_id is not None:
            change = await change_of(rig, ended)
            assert "history_refused" in change.drift
            tree = git(rig.engine.mirrors.path(str(source)), "ls-tree", "-rz", change.tip)
            assert "post-checkout" not in tree, "refused"
            assert "kept.txt" in tree, "kept"
        else:
            assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.WORKSPACE), ended.state
            refs = git(rig.worker_home.mirror(str(source)), "for-each-ref", "--format=%(refname)")
            assert f"refs/podium/runs/{run.id}" in refs, "kept on its node"


@pytest.mark.parametrize("base", ["nowhere", "0" * 40, "v9"])
async def test_a_base_that_does_not_exist_is_a_typed_failure_with_the_next_step(tmp_path, make, base):
    async with rig_with_agent(tmp_path / "home") as rig:
        ended = await worked(rig, make("source"), EDIT, base=base)
        run = await rig.run_of(ended.id)
        assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.REPOSITORY)
        assert base[:6] in ended.state.evidence.detail
        assert not rig.worker_home.workspace(run.id).exists(), "nothing half-created"
        assert not [event for event in await log(rig) if type(event).__name__ == "RunStarted"]
