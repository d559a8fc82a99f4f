from __future__ import annotations

from pathlib import Path

import pytest

from podium.git import bundle, changes
from podium.git.base import BundleRefused, Commit, MissingPrerequisite, NothingToBundle
from podium.git.command import Place
from podium.git.names import parse_commit, parse_ref

from .conftest import House

pytestmark = pytest.mark.anyio

CHANGE = parse_ref("refs/podium/change")
TAKEN = parse_ref("refs/podium/runs/run_9")


async def bundled(house: House, base: Commit | None, tip: Commit) -> Path:
    out = house.root / "out.bundle"
    await bundle.make(house.podium, house.source / ".git", base, tip, CHANGE, out)
    return out


async def take(house: House, path: Path) -> Commit:
    return await bundle.import_into(house.podium, house.mirror_path, path, expect_ref=CHANGE, to_ref=TAKEN)


def objects(house: House) -> set[str]:
    return {str(path) for path in (house.mirror_path / "objects").rglob("*") if path.is_file()}


async def test_a_thin_bundle_carries_a_change_to_a_mirror_that_has_its_base(house: House) -> None:
    await house.mirrored()
    base = house.head(house.source)
    tip = house.commit(house.source, {"new": "1\n"}, "new")
    path = await bundled(house, base, tip)
    assert bundle.read_header(path).prerequisites == (base,)
    assert await take(house, path) == tip
    assert await take(house, path) == tip
    assert house.in_mirror("rev-parse", TAKEN) == tip
    assert house.in_mirror("fsck", "--strict", "--connectivity-only") == ""
    assert not list(house.mirror_path.glob("podium-import-*"))


async def test_a_full_bundle_needs_nothing(house: House) -> None:
    made = house.root / "mirrors/project.git"
    house.plain(house.root, "init", "-q", "--bare", str(made))
    assert await take(house, await bundled(house, None, house.head(house.source))) == house.head(house.source)


async def test_a_missing_base_is_named_so_that_a_full_bundle_can_be_asked_for(house: House) -> None:
    await house.mirrored()
    base = house.commit(house.source, {"unknown": "1\n"}, "not mirrored")
    tip = house.commit(house.source, {"new": "1\n"}, "new")
    before = objects(house)
    with pytest.raises(MissingPrerequisite) as caught:
        await take(house, await bundled(house, base, tip))
    assert caught.value.commits == (base,)
    assert objects(house) == before


async def test_there_is_no_bundle_of_nothing(house: House) -> None:
    with pytest.raises(NothingToBundle):
        await bundled(house, house.head(house.source), house.head(house.source))


def tree_with(house: House, name: str, mode: str = "040000") -> Commit:
    """A commit on main whose tree has one entry of this name, made without git's checks."""
    blob = house.plain(house.source, "hash-object", "-w", "--stdin", stdin=b"[core]\n")
    inner = house.plain(house.source, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    kind, what = ("tree", inner) if mode == "040000" else ("blob", blob)
    entry = f"{mode} {kind} {what}\t{name}\0".encode()
    tree = house.plain(house.source, "mktree", "-z", stdin=entry)
    return parse_commit(house.plain(house.source, "commit-tree", tree, "-p", "main", "-m", "evil"))


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (".GIT", "040000"),
        ("git~1", "040000"),
        (".g\u200cit", "040000"),
        (".git\u200d", "040000"),
        (".git ", "040000"),
        (".gitmodules", "120000"),
    ],
)
async def test_look_alikes_of_git_are_refused_and_nothing_of_them_is_kept(
    house: House, name: str, mode: str
) -> None:
    await house.mirrored()
    base = house.head(house.source)
    path = await bundled(house, base, tree_with(house, name, mode))
    before = objects(house)
    with pytest.raises(BundleRefused):
        await take(house, path)
    assert objects(house) == before
    assert house.in_mirror("for-each-ref", TAKEN) == ""


@pytest.mark.parametrize("damage", ["cut", "flipped", "headless", "no such ref", "bad hash"])
async def test_a_damaged_bundle_is_refused_and_nothing_of_it_is_kept(house: House, damage: str) -> None:
    await house.mirrored()
    base = house.head(house.source)
    path = await bundled(house, base, house.commit(house.source, {"new": "x" * 5000}, "new"))
    content = path.read_bytes()
    middle = len(content) - 30
    damaged = {
        "cut": content[:-10],
        "flipped": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "headless": content[10:],
        "no such ref": content.replace(CHANGE.encode(), b"refs/heads/other1"),
        "bad hash": content.replace(b"\n-", b"\n-zz", 1),
    }
    path.write_bytes(damaged[damage])
    before = objects(house)
    with pytest.raises(BundleRefused):
        await take(house, path)
    assert objects(house) == before


async def test_a_second_bundle_for_the_same_run_leaves_the_first_under_a_rescue_ref(house: House) -> None:
    await house.mirrored()
    base = house.head(house.source)
    first = house.commit(house.source, {"one": "1\n"}, "one")
    await take(house, await bundled(house, base, first))
    house.plain(house.source, "reset", "-q", "--hard", base)
    second = house.commit(house.source, {"two": "2\n"}, "two")
    await take(house, await bundled(house, base, second))
    assert house.in_mirror("rev-parse", TAKEN) == second
    assert first in house.in_mirror("for-each-ref", "refs/podium/rescue")


async def test_a_diff_is_bounded_and_ends_after_a_whole_line(house: House) -> None:
    base = house.head(house.source)
    tip = house.commit(house.source, {"long": "line\n" * 1000}, "long")
    here = Place(git_dir=house.source / ".git")
    whole = await changes.diff(house.podium, here, base, tip, limit_bytes=1_000_000)
    cut = await changes.diff(house.podium, here, base, tip, limit_bytes=1_001)
    assert (whole.truncated, cut.truncated) == (False, True)
    assert whole.patch.startswith(cut.patch)
    assert cut.patch.endswith(b"+line\n")


async def test_changed_files_tell_every_kind_of_change(house: House) -> None:
    base = house.commit(
        house.source, {"gone": "1\n", "from": "same\n" * 20, "mode": "1\n", "both": "1\n2\n"}, "base"
    )
    house.plain(house.source, "mv", "from", "to")
    house.plain(house.source, "rm", "-q", "gone", "mode")
    (house.source / "mode").symlink_to("both")
    (house.source / "image").write_bytes(b"\0\1\2")
    tip = house.commit(house.source, {"both": "2\n3\n4\n"}, "all kinds")
    here = Place(git_dir=house.source / ".git")
    found = await changes.changed_files(house.podium, here, base, tip)
    assert {
        (file.path, file.status, file.additions, file.deletions, file.binary, file.old_path)
        for file in found.files
    } == {
        ("both", "modified", 2, 1, False, None),
        ("gone", "deleted", 0, 1, False, None),
        ("image", "added", 0, 0, True, None),
        ("mode", "retyped", 1, 1, False, None),
        ("to", "renamed", 0, 0, False, "from"),
    }


async def test_a_log_is_newest_first_and_bounded(house: House) -> None:
    base = house.head(house.source)
    tips = [house.commit(house.source, {"n": str(number)}, f"number {number}") for number in range(4)]
    here = Place(git_dir=house.source / ".git")
    found = await changes.log(house.podium, here, base, tips[-1], limit=3)
    assert [entry.subject for entry in found] == ["number 3", "number 2", "number 1"]
    assert (found[0].commit, found[0].parents, found[0].author) == (tips[3], (tips[2],), "Somebody")
    assert len(await changes.log(house.podium, here, None, tips[-1], limit=100)) == 5


async def test_of_a_bundle_with_more_refs_than_agreed_only_the_agreed_one_becomes_a_ref(house: House) -> None:
    await house.mirrored()
    base = house.head(house.source)
    tip = house.commit(house.source, {"new": "1\n"}, "new")
    house.plain(house.source, "update-ref", CHANGE, tip)
    others = ("refs/heads/main", "refs/podium/runs/run_1", "refs/tags/v1")
    for ref in others:
        house.plain(house.source, "update-ref", ref, tip)
    out = house.root / "more.bundle"
    house.plain(house.source, "bundle", "create", "-q", str(out), CHANGE, *others, f"^{base}")
    before = set(house.in_mirror("for-each-ref", "--format=%(refname) %(objectname)").splitlines())
    assert await take(house, out) == tip
    after = set(house.in_mirror("for-each-ref", "--format=%(refname) %(objectname)").splitlines())
    assert after - before == {f"{TAKEN} {tip}"}
    assert before <= after


async def test_a_bundle_without_the_agreed_ref_is_refused_and_nothing_of_it_is_kept(house: House) -> None:
    await house.mirrored()
    house.commit(house.source, {"new": "1\n"}, "new")
    out = house.root / "other.bundle"
    house.plain(house.source, "bundle", "create", "-q", str(out), "refs/heads/main")
    before = objects(house)
    with pytest.raises(BundleRefused):
        await take(house, out)
    assert objects(house) == before
