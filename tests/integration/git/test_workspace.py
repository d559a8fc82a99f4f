from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from podium.git import capture, layout, workspace
from podium.git.base import WorkAtRisk, Workspace, WorkspaceGone
from podium.kernel.errors import Conflict, InvalidRequest

from .conftest import AGENT, LEFTOVERS, House

pytestmark = pytest.mark.anyio


def everything(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


async def test_a_workspace_is_a_clean_checkout_on_its_own_branch(house: House) -> None:
    made = await house.workspace()
    assert (made.path / "src/a.py").read_text() == "a = 1\n"
    assert house.plain(made.path, "status", "--porcelain", "--branch") == "## podium/task_1-fix"
    assert house.plain(made.path, "fsck") == ""
    assert house.plain(made.path, "config", "user.name") == "An agent"


async def test_an_agent_can_commit_and_fetch_but_its_push_goes_nowhere(house: House) -> None:
    made = await house.workspace()
    house.commit(made.path, {"new": "1\n"}, "by the agent")
    house.plain(made.path, "fetch", "-q", "origin")
    assert house.head(made.path, "origin/main") == made.base
    before = house.in_mirror("for-each-ref")
    with pytest.raises(AssertionError):
        house.plain(made.path, "push", "origin", "HEAD:refs/heads/main")
    assert house.in_mirror("for-each-ref") == before


async def test_making_a_complete_workspace_again_changes_nothing(house: House) -> None:
    made = await house.workspace()
    (made.path / "work").write_text("work")
    await workspace.create(house.podium, made, house.work, author=AGENT)
    assert (made.path / "work").read_text() == "work"
    assert workspace.read_marker(made.git_dir) == made


@pytest.mark.parametrize("half", ["tree only", "our side only", "no marker"])
async def test_a_half_made_workspace_is_made_anew(house: House, half: str) -> None:
    made = await house.workspace()
    whole = everything(made.path)
    (made.git_dir / workspace.MARKER).unlink()
    (made.path / "readme.md").write_text("half")
    if half == "tree only":
        shutil.rmtree(made.git_dir)
    elif half == "our side only":
        shutil.rmtree(made.path)
    await workspace.create(house.podium, made, house.work, author=AGENT)
    assert everything(made.path) == whole
    assert (made.path / "readme.md").read_text() == "hello\n"


async def test_a_cancelled_creation_is_repaired_by_the_next_one(house: House) -> None:
    await house.mirrored()
    base = house.head(house.source)
    template = await house.workspace("run_0")
    for turns in range(1, 12, 2):
        made = msgspec.structs.replace(
            template,
            run=f"run_{turns}",
            path=house.work / f"{turns}/tree",
            git_dir=house.work / f"{turns}/git",
        )
        creating = asyncio.ensure_future(workspace.create(house.podium, made, house.work, author=AGENT))
        for _ in range(turns):
            await asyncio.sleep(0)
        creating.cancel()
        await asyncio.wait([creating])
        await workspace.create(house.podium, made, house.work, author=AGENT)
        assert house.head(made.path) == base
        assert house.plain(made.path, "status", "--porcelain") == ""


async def test_a_workspace_without_its_tree_or_of_another_run_is_not_made_over(
    house: House,
) -> None:
    made = await house.workspace()
    other = msgspec.structs.replace(made, run="run_2")
    with pytest.raises(Conflict):
        await workspace.create(house.podium, other, house.work, author=AGENT)
    shutil.rmtree(made.path)
    with pytest.raises(WorkspaceGone):
        await workspace.create(house.podium, made, house.work, author=AGENT)


async def test_a_live_diff_shows_changes_and_new_files_and_leaves_nothing_behind(house: House) -> None:
    made = await house.workspace()
    house.commit(made.path, {"committed": "1\n"}, "one")
    (made.path / "src/a.py").write_text("a = 2\n")
    (made.path / "new").write_text("new\n")
    before = everything(made.git_dir)
    seen = await workspace.live_diff(house.podium, made, limit_bytes=100_000)
    for line in (b"+a = 2", b"+new", b"+++ b/committed"):
        assert line in seen.patch
    assert everything(made.git_dir) == before
    assert house.plain(made.path, "status", "--porcelain") == "M src/a.py\n?? new"
    assert (await workspace.live_diff(house.podium, made, limit_bytes=30)).truncated


async def test_a_live_diff_survives_files_that_come_and_go(house: House) -> None:
    made = await house.workspace()
    stop = asyncio.Event()

    def churn(number: int) -> None:
        (made.path / f"t{number % 7}").write_text("x" * number)
        (made.path / f"t{(number + 3) % 7}").unlink(missing_ok=True)

    async def agent() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await asyncio.to_thread(churn, number)

    running = asyncio.ensure_future(agent())
    for _ in range(5):
        await workspace.live_diff(house.podium, made, limit_bytes=100_000)
    stop.set()
    await running


async def test_a_workspace_is_removed_once_its_work_is_under_a_ref(house: House) -> None:
    made = await house.workspace()
    house.commit(made.path, {"one": "1\n"}, "one")
    (made.path / "two").write_text("2\n")
    captured = await capture.capture(house.podium, made, LEFTOVERS)
    await workspace.remove(house.podium, made, house.work)
    assert not made.path.exists()
    assert not made.git_dir.exists()
    assert house.files_at(house.mirror_path, captured.ref)["two"] == "2"
    await workspace.remove(house.podium, made, house.work)


async def _uncaptured(house: House, made: Workspace) -> None:
    (made.path / "new").write_text("new")


async def _edited_since(house: House, made: Workspace) -> None:
    await capture.capture(house.podium, made, LEFTOVERS)
    (made.path / "src/a.py").write_text("later")


async def _deleted_since(house: House, made: Workspace) -> None:
    await capture.capture(house.podium, made, LEFTOVERS)
    (made.path / "src/a.py").unlink()


async def _committed_aside_since(house: House, made: Workspace) -> None:
    await capture.capture(house.podium, made, LEFTOVERS)
    house.plain(made.path, "checkout", "-q", "-b", "aside")
    house.commit(made.path, {"aside": "1"}, "aside")
    house.plain(made.path, "checkout", "-q", "podium/task_1-fix")


async def _stashed_since(house: House, made: Workspace) -> None:
    await capture.capture(house.podium, made, LEFTOVERS)
    (made.path / "src/a.py").write_text("stashed")
    house.plain(made.path, "stash")


@pytest.mark.parametrize(
    "work", [_uncaptured, _edited_since, _deleted_since, _committed_aside_since, _stashed_since]
)
async def test_a_workspace_with_work_that_no_ref_has_is_not_removed(house: House, work: object) -> None:
    made = await house.workspace()
    assert callable(work)
    await work(house, made)
    before = everything(made.path)
    with pytest.raises(WorkAtRisk):
        await workspace.remove(house.podium, made, house.work)
    assert everything(made.path) == before
    await capture.capture(house.podium, made, LEFTOVERS)
    await workspace.remove(house.podium, made, house.work)
    assert not made.path.exists()


async def test_removing_follows_no_link_out_of_the_tree(house: House) -> None:
    made = await house.workspace()
    outside = house.root / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    (made.path / "link").symlink_to(outside)
    (made.path / "sub").mkdir()
    (made.path / "sub/link").symlink_to(outside / "precious")
    await workspace.destroy(made, house.work)
    assert (outside / "precious").read_text() == "kept"


async def test_a_tree_replaced_by_a_link_is_removed_as_a_link(house: House) -> None:
    made = await house.workspace()
    shutil.rmtree(made.path)
    made.path.symlink_to(house.source)
    with pytest.raises(WorkspaceGone):
        await workspace.remove(house.podium, made, house.work)
    await workspace.destroy(made, house.work)
    assert (house.source / "readme.md").exists()
    assert not os.path.lexists(made.path)


async def test_only_directories_below_the_root_are_removed(house: House) -> None:
    made = await house.workspace()
    (house.work / "way out").symlink_to(house.root)
    for path in (house.source, house.work, house.work / "../source", house.work / "way out/source"):
        with pytest.raises(InvalidRequest):
            await workspace.destroy(msgspec.structs.replace(made, path=path), house.work)
    assert (house.source / "readme.md").exists()


async def test_directories_without_rights_and_of_any_depth_are_removed(house: House) -> None:
    made = await house.workspace()
    deep = os.open(made.path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deeper", dir_fd=deep)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    locked = made.path / "locked/inner"
    locked.mkdir(parents=True)
    (locked / "file").write_text("")
    locked.chmod(0o500)
    locked.parent.chmod(0o000)
    await workspace.destroy(made, house.work)
    assert not made.path.exists()


async def test_an_interrupted_removal_is_finished_by_the_sweep(house: House) -> None:
    made = await house.workspace()
    trash = house.work / layout.TRASH_NAME / "x"
    trash.mkdir(parents=True)
    made.path.rename(trash / "it")
    layout.sweep_trash(house.work)
    layout.sweep_trash(house.work)
    assert not (house.work / layout.TRASH_NAME).exists()
