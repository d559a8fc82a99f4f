"""Uncommitted work as a commit: what goes in, what is refused, and how a Change made on it comes back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.git import apply, bundle, snapshot
from podium.git.apply import Incoming
from podium.git.base import CheckoutBusy, OtherRepository
from podium.git.checkout import checkout_state
from podium.git.command import Place
from podium.git.incoming import find_snapshot, take_in_snapshot
from podium.git.names import SNAPSHOT, parse_branch, parse_ref, snapshot_ref
from podium.git.urls import parse_url
from podium.kernel.errors import RepositoryUnusable, TooLarge

from .conftest import LEFTOVERS, House
from .test_checkout import fingerprint

pytestmark = pytest.mark.anyio

CHANGE = parse_ref("refs/podium/change")


async def taken(house: House, **limits: int) -> tuple[snapshot.Snapshot, Path]:
    """The source's uncommitted work, and its bundle."""
    made = await snapshot.snapshot(house.podium, house.source, house.root / "snap", LEFTOVERS, **limits)
    out = house.root / "snapshot.bundle"
    await bundle.make(house.podium, made.git_dir, made.base, made.commit, SNAPSHOT, out)
    return made, out


async def change_on_it(house: House, *, merge: bool = False) -> Incoming:
    """What an agent did on top of the dirty source: `fresh`, and with `merge` a merge of `side` before it."""
    made, snapped = await taken(house)
    home = await house.mirrored()
    await take_in_snapshot(house.podium, home, snapped, "task_1")
    work = house.root / "agent"
    house.plain(house.root, "clone", "--quiet", str(house.mirror_path), str(work))
    house.plain(work, "fetch", "--quiet", "origin", snapshot_ref("task_1"))
    house.plain(work, "checkout", "--quiet", "-b", "work", "FETCH_HEAD")
    if merge:
        house.plain(work, "checkout", "--quiet", "-b", "side")
        house.commit(work, {"side": "side\n"}, "side")
        house.plain(work, "checkout", "--quiet", "work")
        house.commit(work, {"other": "other\n"}, "other")
        house.plain(work, "merge", "--quiet", "--no-ff", "-m", "both", "side")
    tip = house.commit(work, {"fresh": "fresh\n"}, "fresh")
    out = house.root / "change.bundle"
    await bundle.make(house.podium, work / ".git", made.commit, tip, CHANGE, out)
    return Incoming(change="change_1", bundle=out, ref=CHANGE, base=made.commit, tip=tip, snapshot=snapped)


def dirty(house: House) -> None:
    (house.source / "readme.md").write_text("edited\n")
    (house.source / "new").write_text("new\n")


async def test_a_change_on_uncommitted_work_is_refused_while_that_is_uncommitted(house: House) -> None:
    dirty(house)
    incoming = await change_on_it(house)
    before = fingerprint(house.source)
    with pytest.raises(CheckoutBusy):
        await apply.apply_change(house.podium, house.source, incoming)
    assert fingerprint(house.source) == before


async def test_once_committed_the_agents_commits_go_on_top_and_the_snapshot_does_not(house: House) -> None:
    dirty(house)
    incoming = await change_on_it(house)
    mine = house.commit(house.source, {}, "mine")
    applied = await apply.apply_change(house.podium, house.source, incoming)
    assert applied.how == "replayed"
    subjects = house.plain(house.source, "log", "--format=%s").splitlines()
    assert subjects == ["fresh", "mine", "first"]
    assert house.head(house.source, "HEAD~1") == mine
    assert (house.source / "readme.md").read_text() == "edited\n"
    again = await apply.apply_change(house.podium, house.source, incoming)
    assert (again.how, again.head) == ("already_there", applied.head)


async def test_with_the_work_put_aside_only_the_agents_own_commits_come_and_the_stash_comes_back(
    house: House,
) -> None:
    dirty(house)
    incoming = await change_on_it(house)
    house.plain(house.source, "stash", "--quiet", "--include-untracked")
    applied = await apply.apply_change(house.podium, house.source, incoming)
    assert applied.how == "replayed"
    assert house.plain(house.source, "log", "--format=%s").splitlines() == ["fresh", "first"]
    house.plain(house.source, "stash", "pop", "--quiet")
    assert (house.source / "readme.md").read_text() == "edited\n"
    assert (house.source / "fresh").exists()


async def test_a_merge_of_the_agents_does_not_bring_the_snapshot_along(house: House) -> None:
    dirty(house)
    incoming = await change_on_it(house, merge=True)
    house.commit(house.source, {}, "mine")
    assert (await apply.apply_change(house.podium, house.source, incoming)).how == "replayed"
    subjects = house.plain(house.source, "log", "--format=%s").splitlines()
    assert subjects == ["fresh", "both", "other", "mine", "first"]
    assert (house.source / "side").read_text() == "side\n"


async def test_a_branch_of_it_has_both_and_touches_no_file(house: House) -> None:
    dirty(house)
    incoming = await change_on_it(house)
    before = house.plain(house.source, "status", "--porcelain")
    await apply.apply_as_branch(house.podium, house.source, incoming, parse_branch("agent/work"))
    subjects = house.plain(house.source, "log", "--format=%s", "agent/work").splitlines()
    assert subjects == ["fresh", LEFTOVERS.message.strip(), "first"]
    assert house.plain(house.source, "status", "--porcelain") == before


async def test_another_repository_is_told_from_this_one(house: House, tmp_path: Path) -> None:
    dirty(house)
    incoming = await change_on_it(house)
    other = tmp_path / "other"
    house.init(other, {"x": "x"})
    with pytest.raises(OtherRepository):
        await apply.apply_change(house.podium, other, incoming)


async def test_files_outside_a_sparse_checkout_stay_in_the_snapshot(house: House) -> None:
    house.plain(house.source, "sparse-checkout", "set", "--no-cone", "/readme.md")
    assert not (house.source / "src").exists()
    (house.source / "readme.md").write_text("edited\n")
    made, _ = await taken(house)
    found = house.files_at(made.git_dir, made.commit)
    assert (found["readme.md"], found["src/a.py"]) == ("edited", "a = 1")


async def test_links_modes_and_an_unfinished_merge_are_as_the_files_are(house: House) -> None:
    house.plain(house.source, "checkout", "--quiet", "-b", "theirs")
    house.commit(house.source, {"readme.md": "theirs\n"}, "theirs")
    house.plain(house.source, "checkout", "--quiet", "main")
    house.commit(house.source, {"readme.md": "ours\n"}, "ours")
    house.plain(house.source, "merge", "--quiet", "theirs", check=False)
    os.symlink("/nowhere", house.source / "link")
    (house.source / "run.sh").write_text("#!/bin/sh\n")
    (house.source / "run.sh").chmod(0o755)
    before = fingerprint(house.source)
    made, _ = await taken(house)
    found = house.files_at(made.git_dir, made.commit)
    assert "<<<<<<<" in found["readme.md"]
    assert found["link"] == "/nowhere"
    assert "120000" in house.plain(made.git_dir, "ls-tree", made.commit, "link")
    assert "100755" in house.plain(made.git_dir, "ls-tree", made.commit, "run.sh")
    assert fingerprint(house.source) == before


async def test_work_in_a_submodule_is_named_and_not_taken(house: House) -> None:
    inner = house.root / "inner"
    house.init(inner, {"x": "x\n"})
    allow = ("-c", "protocol.file.allow=always")
    house.plain(house.source, *allow, "submodule", "--quiet", "add", str(inner), "lib")
    house.commit(house.source, {}, "with lib")
    (house.source / "lib" / "x").write_text("edited\n")
    (house.source / "new").write_text("new\n")
    made, _ = await taken(house)
    assert made.submodules == ("lib",)
    hash_of = ("ls-tree", "HEAD", "lib")
    assert house.plain(made.git_dir, "ls-tree", made.commit, "lib") == house.plain(house.source, *hash_of)


async def test_too_much_is_refused_and_names_what_to_do(house: House) -> None:
    (house.source / "big").write_bytes(b"x" * 5_000)
    (house.source / "more").write_bytes(b"x" * 5_000)
    with pytest.raises(TooLarge, match="2 uncommitted files have 10,000 bytes") as refused:
        await taken(house, limit_bytes=9_999)
    assert ".gitignore" in refused.value.hint
    assert not (house.root / "snap").exists()


async def test_a_mirror_takes_it_in_once_and_says_when_the_source_lacks_what_it_builds_on(
    house: House,
) -> None:
    dirty(house)
    made, out = await taken(house)
    home = await house.mirrored()
    assert await find_snapshot(house.podium, home.path, "task_1") is None
    for _ in range(2):
        assert await take_in_snapshot(house.podium, home, out, "task_1") == made.commit
    assert await find_snapshot(house.podium, home.path, "task_1") == made.commit
    house.plain(house.source, "commit", "--quiet", "--allow-empty", "-m", "more")
    (house.root / "snapshot.bundle").unlink()
    later = await snapshot.snapshot(house.podium, house.source, house.root / "snap2", LEFTOVERS)
    await bundle.make(house.podium, later.git_dir, later.base, later.commit, SNAPSHOT, out)
    house.plain(house.source, "reset", "--quiet", "--soft", "HEAD~1")
    house.plain(house.source, "reflog", "expire", "--expire=now", "--all")
    house.plain(house.source, "gc", "--quiet", "--prune=now")
    with pytest.raises(RepositoryUnusable, match="does not have") as refused:
        await take_in_snapshot(house.podium, home, out, "task_2")
    assert refused.value.details["reason"] == "snapshot"


async def test_what_a_source_is_known_to_have_is_found_and_nothing_where_nothing_is_shared(
    house: House,
) -> None:
    base = house.head(house.source)
    local = house.root / "local"
    house.plain(house.root, "clone", "--quiet", str(house.source), str(local))
    head = house.commit(local, {"unpushed": "x"}, "unpushed")
    state = await checkout_state(house.podium, local)
    assert await snapshot.shared_with(house.podium, state, parse_url(str(house.source)), head) == base
    stranger = house.root / "stranger"
    house.init(stranger, {"y": "y"})
    assert await snapshot.shared_with(house.podium, state, parse_url(str(stranger)), head) is None
    gone = parse_url(str(house.root / "gone"))
    assert await snapshot.shared_with(house.podium, state, gone, head) is None


async def test_a_snapshot_leaves_nothing_of_ours_in_the_checkouts_repository(house: House) -> None:
    dirty(house)
    await taken(house)
    refs = await house.podium.read(Place(git_dir=house.source / ".git"), "for-each-ref", "refs/podium")
    assert refs == b""
