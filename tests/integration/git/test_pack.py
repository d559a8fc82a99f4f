"""Packs handed straight to receive-pack, and captures that need not look into the agent's repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.git import bundle, capture, untouched
from podium.git.base import Commit
from podium.git.command import Place
from podium.git.names import parse_ref, run_ref
from podium.git.pack import make_pack, receive

from .conftest import LEFTOVERS, House

pytestmark = pytest.mark.anyio
REF = parse_ref("refs/podium/runs/elsewhere")


async def test_a_pack_is_received_under_a_new_ref_and_under_no_other(house: House) -> None:
    made = await house.workspace()
    tip = Commit(house.commit(made.path, {"b": "b\n"}, "b"))
    place = Place(git_dir=made.path / ".git")
    pack = await make_pack(house.podium, place, made.base, tip)
    assert pack is not None
    assert await receive(house.podium, house.mirror_path, pack, {REF: tip})
    assert house.in_mirror("rev-parse", REF) == tip
    assert not await receive(house.podium, house.mirror_path, pack, {REF: tip}), "it exists already"


@pytest.mark.parametrize("damage", [lambda pack: b"", lambda pack: pack[:-3], lambda pack: b"x" + pack])
async def test_what_is_no_whole_pack_leaves_no_ref(house: House, damage: Callable[[bytes], bytes]) -> None:
    made = await house.workspace()
    tip = Commit(house.commit(made.path, {"b": "b\n"}, "b"))
    pack = await make_pack(house.podium, Place(git_dir=made.path / ".git"), made.base, tip)
    assert pack is not None
    assert not await receive(house.podium, house.mirror_path, damage(pack), {REF: tip})
    assert not house.in_mirror("for-each-ref", REF)


async def test_a_pack_whose_commits_are_incomplete_leaves_no_ref(house: House) -> None:
    made = await house.workspace()
    first = Commit(house.commit(made.path, {"b": "b\n"}, "b"))
    second = Commit(house.commit(made.path, {"c": "c\n"}, "c"))
    pack = await make_pack(house.podium, Place(git_dir=made.path / ".git"), first, second)
    assert pack is not None
    assert not await receive(house.podium, house.mirror_path, pack, {REF: second})
    assert not house.in_mirror("for-each-ref", REF)


async def test_a_capture_leaves_a_bundle_that_can_be_let_in_elsewhere(house: House, tmp_path: Path) -> None:
    made = await house.workspace()
    (made.path / "b").write_text("b\n")
    path = tmp_path / "work.bundle"
    captured = await capture.capture(house.podium, made, LEFTOVERS, bundle=path)
    header = bundle.read_header(path)
    assert (header.prerequisites, header.refs) == ((made.base,), {run_ref(made.run): captured.tip})
    await capture.capture(house.podium, made, LEFTOVERS, bundle=path)
    assert not path.exists(), "captured before: whoever wants a bundle makes one from the mirror"


async def test_only_refs_as_they_were_made_count_as_untouched(house: House) -> None:
    made = await house.workspace()
    (made.path / "src/a.py").write_text("a = 2\n")
    assert untouched.untouched(made)
    git_dir = made.path / ".git"
    for name in ("commondir", "shallow", "refs/stash", "refs/tags/v1", "refs/heads/other"):
        (git_dir / name).write_text(made.base + "\n")
        assert not untouched.untouched(made), name
        (git_dir / name).unlink()
    for name in ("HEAD", "config", "packed-refs"):
        before = (git_dir / name).read_bytes()
        (git_dir / name).write_bytes(before + b"#\n")
        assert not untouched.untouched(made), name
        (git_dir / name).unlink()
        (git_dir / name).symlink_to(made.git_dir / f"theirs.{name}")
        assert not untouched.untouched(made), f"{name} as a link"
        (git_dir / name).unlink()
        (git_dir / name).write_bytes(before)
    assert untouched.untouched(made)
    (git_dir / "refs/heads").rename(made.path / "heads")
    (git_dir / "refs/heads").symlink_to(made.path / "heads")
    assert not untouched.untouched(made)
