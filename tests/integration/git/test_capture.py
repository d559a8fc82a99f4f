from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.git import base, staging
from podium.git import capture as capturing
from podium.git.base import Captured, ChangedFiles, Workspace, WorkspaceGone
from podium.git.changes import changed_files
from podium.git.command import Place

from .conftest import LEFTOVERS, House

pytestmark = pytest.mark.anyio


async def capture(house: House, workspace: Workspace) -> Captured:
    return await capturing.capture(house.podium, workspace, LEFTOVERS)


async def changed(house: House, captured: Captured, workspace: Workspace) -> ChangedFiles:
    place = Place(git_dir=house.mirror_path)
    return await changed_files(house.podium, place, workspace.base, captured.tip)


async def test_an_untouched_workspace_gives_the_base_and_no_commit(house: House) -> None:
    workspace = await house.workspace()
    captured = await capture(house, workspace)
    assert (captured.tip, captured.commits, captured.leftover) == (workspace.base, 0, False)
    assert captured.drift == ()
    assert house.in_mirror("rev-parse", captured.ref) == workspace.base


async def test_committed_work_arrives_in_the_mirror_as_the_agent_committed_it(house: House) -> None:
    workspace = await house.workspace()
    tip = house.commit(workspace.path, {"src/b.py": "b = 2\n"}, "add b")
    captured = await capture(house, workspace)
    assert (captured.tip, captured.commits, captured.leftover, captured.drift) == (tip, 1, False, ())
    assert house.in_mirror("rev-parse", captured.ref) == tip
    files = await changed(house, captured, workspace)
    assert [(file.path, file.status, file.additions) for file in files.files] == [("src/b.py", "added", 1)]


async def test_leftovers_of_every_kind_become_one_commit_on_top_of_the_agents_own(house: House) -> None:
    workspace = await house.workspace()
    own = house.commit(workspace.path, {"one": "1\n"}, "one")
    (workspace.path / "src/a.py").write_text("a = 2\n")
    (workspace.path / "readme.md").unlink()
    (workspace.path / "new dir").mkdir()
    (workspace.path / "new dir/ünï\ncode").write_text("x")
    os.symlink("/etc/passwd", workspace.path / "link")
    (workspace.path / "noise.log").write_text("ignored")
    captured = await capture(house, workspace)
    assert (captured.leftover, captured.commits, captured.drift) == (True, 2, ())
    assert house.in_mirror("rev-parse", f"{captured.tip}^") == own
    assert house.files_at(house.mirror_path, captured.tip) == {
        ".gitignore": "*.log",
        "link": "/etc/passwd",
        "new dir/ünï\ncode": "x",
        "one": "1",
        "src/a.py": "a = 2",
    }


async def test_names_that_are_not_utf8_are_saved_and_shown_escaped(house: House) -> None:
    workspace = await house.workspace()
    with open(os.path.join(os.fsencode(workspace.path), b"bad\xff.txt"), "wb") as file:
        file.write(b"kept")
    captured = await capture(house, workspace)
    files = await changed(house, captured, workspace)
    assert [file.path for file in files.files] == ["bad\\xff.txt"]
    assert captured.unsaved == ()


async def test_a_file_that_the_agent_added_against_the_ignore_list_stays(house: House) -> None:
    workspace = await house.workspace()
    (workspace.path / "kept.log").write_text("1\n")
    house.plain(workspace.path, "add", "-f", "kept.log")
    house.plain(workspace.path, "commit", "-qm", "log")
    (workspace.path / "kept.log").write_text("2\n")
    captured = await capture(house, workspace)
    assert house.files_at(house.mirror_path, captured.tip)["kept.log"] == "2"


async def test_capturing_twice_gives_the_same_tip(house: House) -> None:
    workspace = await house.workspace()
    house.commit(workspace.path, {"one": "1\n"}, "one")
    (workspace.path / "two").write_text("2\n")
    assert await capture(house, workspace) == await capture(house, workspace)


async def test_a_later_capture_that_lost_commits_leaves_the_earlier_result_under_a_rescue_ref(
    house: House,
) -> None:
    workspace = await house.workspace()
    (workspace.path / "first").write_text("1\n")
    first = await capture(house, workspace)
    (workspace.path / "first").unlink()
    (workspace.path / "second").write_text("2\n")
    second = await capture(house, workspace)
    assert house.in_mirror("rev-parse", second.ref) == second.tip
    rescued = house.in_mirror("for-each-ref", "--format=%(objectname)", "refs/podium/rescue")
    assert rescued.split() == [first.tip]


def _switch(house: House, path: Path) -> None:
    house.plain(path, "checkout", "-qb", "elsewhere")


def _detach(house: House, path: Path) -> None:
    house.plain(path, "checkout", "-q", "--detach")


def _delete_branch(house: House, path: Path) -> None:
    house.plain(path, "checkout", "-q", "--detach")
    house.plain(path, "branch", "-D", "podium/task_1-fix")


def _amend_the_base(house: House, path: Path) -> None:
    house.plain(path, "commit", "-q", "--amend", "--allow-empty", "-m", "rewritten")


def _orphan(house: House, path: Path) -> None:
    house.plain(path, "checkout", "-q", "--orphan", "unborn")


def _remove_git(house: House, path: Path) -> None:
    shutil.rmtree(path / ".git")


def _git_as_file(house: House, path: Path) -> None:
    shutil.rmtree(path / ".git")
    (path / ".git").write_text(f"gitdir: {house.source}/.git\n")


def _git_as_link(house: House, path: Path) -> None:
    shutil.rmtree(path / ".git")
    os.symlink(house.source / ".git", path / ".git")


def _break_head(house: House, path: Path) -> None:
    (path / ".git/HEAD").write_text("nonsense")


def _head_as_fifo(house: House, path: Path) -> None:
    (path / ".git/HEAD").unlink()
    os.mkfifo(path / ".git/HEAD")


def _config_as_fifo(house: House, path: Path) -> None:
    (path / ".git/config").unlink()
    os.mkfifo(path / ".git/config")


def _cut_from_the_mirror(house: House, path: Path) -> None:
    house.commit(path, {"more": "1\n"}, "more")
    (path / ".git/objects/info/alternates").unlink()


def _unknown_extension(house: House, path: Path) -> None:
    with (path / ".git/config").open("a") as file:
        file.write("[core]\nrepositoryformatversion = 1\n[extensions]\nmystery = true\n")


def _shallow(house: House, path: Path) -> None:
    house.commit(path, {"more": "1\n"}, "more")
    (path / ".git/shallow").write_text(house.plain(path, "rev-parse", "HEAD") + "\n")


def _half_a_merge(house: House, path: Path) -> None:
    (path / ".git/MERGE_HEAD").write_text(house.plain(path, "rev-parse", "HEAD") + "\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_switch, {"branch_switched"}),
        (_detach, {"head_detached"}),
        (_delete_branch, {"head_detached", "branch_deleted"}),
        (_amend_the_base, {"history_rewritten"}),
        (_orphan, {"branch_switched"}),
        (_remove_git, {"git_removed"}),
        (_git_as_file, {"git_replaced"}),
        (_git_as_link, {"git_replaced"}),
        (_break_head, {"head_detached", "git_unreadable"}),
        (_head_as_fifo, {"git_unreadable"}),
        (_config_as_fifo, {"git_unreadable"}),
        (_cut_from_the_mirror, {"history_refused"}),
        (_unknown_extension, {"git_unreadable"}),
        (_shallow, set()),
        (_half_a_merge, {"operation_in_progress"}),
    ],
)
async def test_whatever_the_agent_did_to_its_repository_is_named_and_its_files_are_saved(
    house: House, damage: Callable[[House, Path], None], words: set[str]
) -> None:
    workspace = await house.workspace()
    damage(house, workspace.path)
    (workspace.path / "src/a.py").write_text("a = 99\n")
    captured = await capture(house, workspace)
    assert set(captured.drift) == words
    assert house.files_at(house.mirror_path, captured.ref)["src/a.py"] == "a = 99"
    assert captured == await capture(house, workspace)


async def test_commits_on_the_runs_branch_count_when_the_agent_ended_elsewhere(house: House) -> None:
    workspace = await house.workspace()
    tip = house.commit(workspace.path, {"done": "1\n"}, "done")
    house.plain(workspace.path, "checkout", "-q", "-b", "back", workspace.base)
    captured = await capture(house, workspace)
    assert (captured.tip, captured.drift) == (tip, ("branch_switched",))


async def test_what_was_committed_or_stashed_aside_is_kept_under_refs_of_its_own(house: House) -> None:
    workspace = await house.workspace()
    house.plain(workspace.path, "checkout", "-q", "-b", "idea")
    idea = house.commit(workspace.path, {"idea": "1\n"}, "idea")
    house.plain(workspace.path, "checkout", "-q", "podium/task_1-fix")
    (workspace.path / "src/a.py").write_text("stashed\n")
    house.plain(workspace.path, "stash")
    stash = house.head(workspace.path, "refs/stash")
    tip = house.commit(workspace.path, {"main": "1\n"}, "main")
    captured = await capture(house, workspace)
    assert captured.tip == tip
    assert {branch.tip for branch in captured.side} == {idea, stash}
    for branch in captured.side:
        assert house.in_mirror("rev-parse", branch.ref) == branch.tip


async def test_a_repository_that_the_agent_made_or_cloned_inside_is_saved_as_files(house: House) -> None:
    workspace = await house.workspace()
    house.init(workspace.path / "vendor/tool", {"main.c": "int main;\n", ".gitignore": "*.o\n", "x.o": "no"})
    house.init(workspace.path / "vendor/tool/deep", {"deep.c": "int deep;\n"})
    (workspace.path / "empty").mkdir()
    house.plain(workspace.path / "empty", "init", "-q")
    captured = await capture(house, workspace)
    assert "nested_repository" in captured.drift
    saved = house.files_at(house.mirror_path, captured.tip)
    assert saved["vendor/tool/main.c"] == "int main;"
    assert saved["vendor/tool/deep/deep.c"] == "int deep;"
    assert "vendor/tool/x.o" not in saved
    assert captured.unsaved == ()
    assert captured == await capture(house, workspace)


async def test_a_nested_repository_that_the_agent_committed_as_a_hash_is_saved_as_files(house: House) -> None:
    workspace = await house.workspace()
    house.init(workspace.path / "sub", {"inner": "kept\n"})
    house.commit(workspace.path, {}, "embeds sub by its hash")
    captured = await capture(house, workspace)
    assert house.files_at(house.mirror_path, captured.tip)["sub/inner"] == "kept"
    assert "nested_repository" in captured.drift


async def test_work_below_a_submodule_is_reported(house: House) -> None:
    library = house.root / "library"
    house.init(library, {"lib": "1\n"})
    house.plain(
        house.source, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib"
    )
    house.commit(house.source, {}, "with a submodule")
    workspace = await house.workspace()
    assert (await capture(house, workspace)).drift == ()
    (workspace.path / "lib/new").write_text("work")
    assert (await capture(house, workspace)).drift == ("populated_submodule",)


async def test_files_that_cannot_be_stored_are_named_and_the_rest_is_saved(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_LEFTOVER_FILE_BYTES", 100)
    workspace = await house.workspace()
    (workspace.path / "huge").write_text("x" * 101)
    (workspace.path / ".GIT").mkdir()
    (workspace.path / ".GIT/config").write_text("look-alike")
    (workspace.path / "readme.md").unlink()
    os.mkfifo(workspace.path / "readme.md")
    (workspace.path / "fine").write_text("fine")
    captured = await capture(house, workspace)
    assert captured.drift == ("files_unsaved",)
    assert set(captured.unsaved) == {"huge", ".GIT/config"}
    saved = house.files_at(house.mirror_path, captured.tip)
    assert "readme.md" not in saved
    assert saved["fine"] == "fine"


async def test_a_file_that_its_declared_encoding_does_not_fit_is_saved_as_it_is(house: House) -> None:
    workspace = await house.workspace()
    (workspace.path / ".gitattributes").write_text("*.txt working-tree-encoding=UTF-16\n")
    (workspace.path / "a.txt").write_bytes(b"odd")
    (workspace.path / "b").write_text("b")
    captured = await capture(house, workspace)
    saved = house.files_at(house.mirror_path, captured.tip)
    assert saved["a.txt"] == "odd"
    assert saved["b"] == "b"


async def test_commits_that_fail_gits_checks_are_refused_and_the_files_saved_on_the_base(
    house: House,
) -> None:
    workspace = await house.workspace()
    blob = house.plain(workspace.path, "hash-object", "-w", "--stdin", stdin=b"[core]\n")
    inner = house.plain(workspace.path, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    tree = house.plain(workspace.path, "mktree", stdin=f"040000 tree {inner}\t.GIT\n".encode())
    evil = house.plain(workspace.path, "commit-tree", tree, "-p", "HEAD", "-m", "evil")
    house.plain(workspace.path, "update-ref", "refs/heads/podium/task_1-fix", evil)
    (workspace.path / "work").write_text("work")
    captured = await capture(house, workspace)
    assert captured.drift == ("history_refused",)
    assert house.in_mirror("rev-parse", f"{captured.tip}^") == workspace.base
    assert house.files_at(house.mirror_path, captured.tip)["work"] == "work"


async def test_a_repository_that_makes_git_wait_is_given_up_after_its_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capturing, "FETCH_TIMEOUT_S", 0.5)
    workspace = await house.workspace()
    os.mkfifo(workspace.path / ".git/refs/heads/wait")
    (workspace.path / "work").write_text("work")
    captured = await capture(house, workspace)
    assert captured.drift == ("git_unreadable",)
    assert house.files_at(house.mirror_path, captured.ref)["work"] == "work"


@pytest.mark.parametrize("replacement", ["nothing", "link", "file"])
async def test_a_workspace_that_is_gone_or_replaced_is_an_error_and_nothing_outside_is_read(
    house: House, replacement: str
) -> None:
    workspace = await house.workspace()
    shutil.rmtree(workspace.path)
    if replacement == "link":
        os.symlink(house.source, workspace.path)
    elif replacement == "file":
        workspace.path.write_text("")
    with pytest.raises(WorkspaceGone):
        await capture(house, workspace)
    assert house.in_mirror("for-each-ref", "refs/podium/runs") == ""


async def test_a_run_goes_on_from_an_earlier_runs_result_and_counts_from_the_base(house: House) -> None:
    first = await house.workspace("run_1")
    (first.path / "one").write_text("1\n")
    earlier = await capture(house, first)
    second = await house.workspace("run_2", start=earlier.tip)
    assert (second.path / "one").read_text() == "1\n"
    tip = house.commit(second.path, {"two": "2\n"}, "two")
    captured = await capture(house, second)
    assert (captured.tip, captured.commits, captured.drift) == (tip, 2, ())


async def test_a_list_of_changed_files_is_cut_at_its_limit_and_says_how_many_there_are(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.git.changes.MAX_CHANGED_FILES", 2)
    workspace = await house.workspace()
    for number in range(5):
        (workspace.path / f"f{number}").write_text("x")
    captured = await capture(house, workspace)
    files = await changed(house, captured, workspace)
    assert (len(files.files), files.total) == (2, 5)
    assert base.MAX_CHANGED_FILES > 2
