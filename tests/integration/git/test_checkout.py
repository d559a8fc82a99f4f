"""What touches the user's own checkout: looking at it, a snapshot of it, applying a change to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.git import apply, bundle, capture, changes, snapshot
from podium.git.apply import Incoming
from podium.git.base import ApplyConflict, CheckoutBusy, MissingPrerequisite, OtherRepository
from podium.git.checkout import checkout_state
from podium.git.command import Place
from podium.git.names import parse_branch, parse_ref
from podium.kernel.errors import Conflict, RepositoryUnusable

from .conftest import LEFTOVERS, House

pytestmark = pytest.mark.anyio

CHANGE = parse_ref("refs/podium/change")


def fingerprint(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a checkout, its .git included except objects, our own refs and ORIG_HEAD."""
    found = {}
    for entry in sorted(path.rglob("*")):
        name = str(entry.relative_to(path))
        if entry.is_file() and not re.search("/objects/|/podium|/ORIG_HEAD", name):
            found[name] = (entry.lstat().st_mode, entry.read_bytes())
    return found


async def change(house: House, files: dict[str, str], *more: dict[str, str]) -> Incoming:
    """A Change made by an agent on the source's present HEAD, as its bundle."""
    workspace = await house.workspace("run_1")
    for number, content in enumerate((files, *more)):
        house.commit(workspace.path, content, f"step {number}")
    captured = await capture.capture(house.podium, workspace, LEFTOVERS)
    out = house.root / "change.bundle"
    await bundle.make(house.podium, workspace.git_dir, workspace.base, captured.tip, CHANGE, out)
    return Incoming(change="change_1", bundle=out, ref=CHANGE, base=workspace.base, tip=captured.tip)


async def test_a_change_is_a_fast_forward_where_nothing_else_happened(house: House) -> None:
    incoming = await change(house, {"new": "1\n", "src/a.py": "a = 2\n"})
    (house.source / "untracked").write_text("kept")
    done = await apply.apply_change(house.podium, house.source / "src", incoming)
    assert (done.how, done.head, done.branch) == ("fast_forward", incoming.tip, "main")
    assert (house.source / "src/a.py").read_text() == "a = 2\n"
    assert house.plain(house.source, "status", "--porcelain") == "?? untracked"
    assert (await apply.apply_change(house.podium, house.source, incoming)).how == "already_there"


async def test_a_change_is_replayed_on_a_branch_that_moved_on_with_its_author_kept(house: House) -> None:
    incoming = await change(house, {"one": "1\n"}, {"two": "2\n"})
    own = house.commit(house.source, {"mine": "m\n"}, "mine")
    house.plain(house.source, "config", "user.name", "Me")
    done = await apply.apply_change(house.podium, house.source, incoming)
    assert done.how == "replayed"
    log = house.plain(house.source, "log", "--format=%s by %an, %cn", f"{own}..HEAD").splitlines()
    assert log == ["step 1 by Somebody, Me", "step 0 by Somebody, Me"]
    assert {"one", "two", "mine", "readme.md"} <= set(os.listdir(house.source))
    assert house.plain(house.source, "status", "--porcelain") == ""
    assert house.plain(house.source, "fsck") == ""


async def test_a_change_with_merges_in_it_is_merged(house: House) -> None:
    workspace = await house.workspace()
    house.plain(workspace.path, "checkout", "-q", "-b", "side")
    house.commit(workspace.path, {"side": "1\n"}, "side")
    house.plain(workspace.path, "checkout", "-q", workspace.branch)
    house.commit(workspace.path, {"main": "1\n"}, "main")
    house.plain(workspace.path, "merge", "-q", "--no-edit", "side")
    tip = house.head(workspace.path)
    out = house.root / "change.bundle"
    await capture.capture(house.podium, workspace, LEFTOVERS)
    await bundle.make(house.podium, workspace.git_dir, workspace.base, tip, CHANGE, out)
    house.commit(house.source, {"mine": "m\n"}, "mine")
    incoming = Incoming(change="change_1", bundle=out, ref=CHANGE, base=workspace.base, tip=tip)
    done = await apply.apply_change(house.podium, house.source, incoming)
    assert done.how == "merged"
    assert {"side", "main", "mine"} <= set(os.listdir(house.source))


async def test_a_conflict_names_its_files_and_leaves_the_checkout_as_it_was(house: House) -> None:
    incoming = await change(house, {"src/a.py": "a = 2\n", "ok": "1\n"})
    house.commit(house.source, {"src/a.py": "a = 3\n"}, "mine")
    before = fingerprint(house.source)
    with pytest.raises(ApplyConflict) as caught:
        await apply.apply_change(house.podium, house.source, incoming)
    assert caught.value.details["files"] == ["src/a.py"]
    assert fingerprint(house.source) == before
    assert not list((house.source / ".git").glob("podium-*"))


async def test_an_untracked_file_in_the_way_is_not_overwritten(house: House) -> None:
    incoming = await change(house, {"new": "theirs\n"})
    (house.source / "new").write_text("mine\n")
    before = fingerprint(house.source)
    with pytest.raises(ApplyConflict):
        await apply.apply_change(house.podium, house.source, incoming)
    assert fingerprint(house.source) == before


def _edit(house: House) -> None:
    (house.source / "readme.md").write_text("edited")


def _stage(house: House) -> None:
    (house.source / "staged").write_text("x")
    house.plain(house.source, "add", "staged")


def _delete(house: House) -> None:
    (house.source / "readme.md").unlink()


def _merging(house: House) -> None:
    house.plain(house.source, "update-ref", "MERGE_HEAD", "HEAD")


@pytest.mark.parametrize("work", [_edit, _stage, _delete, _merging])
async def test_a_busy_checkout_is_refused_but_can_have_the_change_as_a_branch(
    house: House, work: Callable[[House], None]
) -> None:
    incoming = await change(house, {"new": "1\n"})
    work(house)
    before = fingerprint(house.source)
    with pytest.raises(CheckoutBusy):
        await apply.apply_change(house.podium, house.source, incoming)
    assert fingerprint(house.source) == before
    name = parse_branch("podium/task_1-fix")
    for _ in range(2):
        done = await apply.apply_as_branch(house.podium, house.source, incoming, name)
        assert (done.how, done.branch) == ("branch", name)
    assert house.head(house.source, name) == incoming.tip
    house.plain(house.source, "branch", "taken")
    with pytest.raises(Conflict):
        await apply.apply_as_branch(house.podium, house.source, incoming, parse_branch("taken"))


async def test_a_change_of_another_repository_is_refused(house: House) -> None:
    incoming = await change(house, {"new": "1\n"})
    house.init(house.root / "other", {"x": "1\n"})
    with pytest.raises(OtherRepository):
        await apply.apply_change(house.podium, house.root / "other", incoming)
    with pytest.raises(RepositoryUnusable):
        await apply.apply_change(house.podium, house.root, incoming)
    assert not issubclass(OtherRepository, MissingPrerequisite)


async def test_a_change_applies_in_a_linked_worktree(house: House) -> None:
    incoming = await change(house, {"new": "1\n"})
    house.plain(house.source, "worktree", "add", "-q", "-b", "linked", str(house.root / "linked"))
    done = await apply.apply_change(house.podium, house.root / "linked", incoming)
    assert (done.how, done.branch) == ("fast_forward", "linked")
    assert not (house.source / "new").exists()


async def test_applying_runs_no_hook_and_nothing_that_the_change_brings(house: House) -> None:
    mark = house.root / "mark"
    incoming = await change(house, {".gitattributes": "* filter=trap merge=trap diff=trap\n", "new": "1\n"})
    house.commit(house.source, {"mine": "1\n"}, "mine")
    hooks = house.source / ".git/hooks"
    for name in (
        "post-merge",
        "post-checkout",
        "pre-receive",
        "update",
        "post-receive",
        "reference-transaction",
    ):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    assert (await apply.apply_change(house.podium, house.source, incoming)).how == "replayed"
    assert not mark.exists()


async def test_the_state_of_a_checkout_is_told_in_full(house: House) -> None:
    house.plain(house.source, "mv", "readme.md", "renamed file.md")
    (house.source / "new").write_text("x")
    state = await checkout_state(house.podium, house.source / "src")
    assert (state.top, state.branch, state.uncommitted) == (house.source, "main", 2)
    assert state.head == house.head(house.source)
    assert state.changed == ("renamed file.md",)
    assert state.busy
    house.plain(house.root, "init", "-q", "nothing")
    assert (await checkout_state(house.podium, house.root / "nothing")).head is None


async def test_a_snapshot_holds_uncommitted_work_and_touches_nothing(house: House) -> None:
    (house.source / "readme.md").write_text("edited\n")
    (house.source / "staged").write_text("staged\n")
    house.plain(house.source, "add", "staged")
    (house.source / "new").write_text("new\n")
    (house.source / "x.log").write_text("ignored")
    (house.source / "private").write_text("ignored here")
    (house.source / ".git/info/exclude").write_text("private\n")
    (house.source / "src/a.py").unlink()
    before = fingerprint(house.source)
    objects = sorted((house.source / ".git/objects").rglob("*"))
    base = house.head(house.source)
    made = await snapshot.snapshot(house.podium, house.source, house.root / "snap", LEFTOVERS)
    assert (made.base, made.unsaved) == (base, ())
    assert house.files_at(made.git_dir, made.commit) == {
        ".gitignore": "*.log",
        "readme.md": "edited",
        "staged": "staged",
        "new": "new",
    }
    assert fingerprint(house.source) == before
    assert sorted((house.source / ".git/objects").rglob("*")) == objects
    out = house.root / "snapshot.bundle"
    await bundle.make(house.podium, made.git_dir, made.base, made.commit, CHANGE, out)
    await house.mirrored()
    taken = await bundle.import_into(
        house.podium, house.mirror_path, out, expect_ref=CHANGE, to_ref=parse_ref("refs/podium/source/dirty")
    )
    here = Place(git_dir=house.mirror_path)
    assert (await changes.changed_files(house.podium, here, base, taken)).total == 4


async def test_a_snapshot_of_a_clean_checkout_is_its_head(house: House) -> None:
    made = await snapshot.snapshot(house.podium, house.source, house.root / "snap", LEFTOVERS)
    assert made.commit == made.base == house.head(house.source)


async def test_a_snapshot_works_with_a_split_index_and_the_users_line_endings(house: House) -> None:
    (house.user_home / ".gitconfig").write_text("[core]\n\tautocrlf = input\n")
    house.plain(house.source, "update-index", "--split-index")
    (house.source / "readme.md").write_bytes(b"one\r\ntwo\r\n")
    made = await snapshot.snapshot(house.podium, house.source, house.root / "snap", LEFTOVERS)
    raw = await house.podium.read(Place(git_dir=made.git_dir), "cat-file", "blob", f"{made.commit}:readme.md")
    assert raw == b"one\ntwo\n"
