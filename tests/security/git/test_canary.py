"""An agent plants programs wherever git would run them; nothing of ours may. The canary is a file."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.git import bundle, capture, changes, mirror, workspace
from podium.git.base import BundleRefused, WorkAtRisk, Workspace
from podium.git.command import Place
from podium.git.names import parse_ref
from tests.integration.git.conftest import LEFTOVERS, House

pytestmark = pytest.mark.anyio

ATTRIBUTES = "* filter=trap diff=trap merge=trap\n"
HOOKS = (
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
)
CONFIGURED = {
    "fsmonitor": [("core.fsmonitor", "{trap}")],
    "hooksPath": [("core.hooksPath", "{hooks}")],
    "filter clean and smudge": [("filter.trap.clean", "{trap}"), ("filter.trap.smudge", "{trap}")],
    "filter process": [("filter.trap.process", "{trap}"), ("filter.trap.required", "true")],
    "external diff": [("diff.external", "{trap}")],
    "diff command": [("diff.trap.command", "{trap}")],
    "textconv": [("diff.trap.textconv", "{trap}")],
    "merge driver": [("merge.trap.driver", "{trap}")],
    "ssh": [("core.sshCommand", "{trap}"), ("remote.origin.url", "ssh://host.invalid/x")],
    "pager": [("core.pager", "{trap}"), ("pager.status", "{trap}"), ("pager.diff", "{trap}")],
    "editor": [("core.editor", "{trap}"), ("sequence.editor", "{trap}")],
    "gpg": [("gpg.program", "{trap}"), ("commit.gpgSign", "true"), ("log.showSignature", "true")],
    "gpg ssh": [("gpg.format", "ssh"), ("gpg.ssh.program", "{trap}"), ("commit.gpgSign", "true")],
    "credential helper": [("credential.helper", "!{trap}"), ("core.askPass", "{trap}")],
    "include": [("include.path", "{included}")],
    "include by condition": [("includeIf.gitdir:/.path", "{included}")],
    "alias": [(f"alias.{verb}", "!{trap}") for verb in ("status", "fetch", "add", "upload-pack")],
    "insteadOf": [("url.ext::sh -c {trap}.insteadOf", "/"), ("protocol.ext.allow", "always")],
    "alternate refs": [("core.alternateRefsCommand", "{trap}")],
    "pack objects hook": [("uploadpack.packObjectsHook", "{trap}")],
    "git proxy": [("core.gitProxy", "{trap}")],
    "lazy fetch": [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "ext::sh -c {trap}"),
        ("remote.origin.uploadpack", "{trap}"),
        ("protocol.ext.allow", "always"),
    ],
    "remote helpers": [("remote.origin.vcs", "ext"), ("remote.origin.receivepack", "{trap}")],
    "other work tree": [("core.worktree", "/"), ("core.fsmonitor", "{trap}")],
    "worktree config": [("extensions.worktreeConfig", "true"), ("core.repositoryFormatVersion", "1")],
    "unknown extension": [("extensions.mystery", "1"), ("core.repositoryFormatVersion", "1")],
    "submodule update": [("submodule.sub.update", "!{trap}"), ("submodule.recurse", "true")],
    "maintenance": [("gc.auto", "1"), ("gc.recentObjectsHook", "{trap}"), ("maintenance.auto", "true")],
    "trailer": [("trailer.sign.command", "{trap}"), ("trailer.sign.cmd", "{trap}")],
    "interactive diff filter": [("interactive.diffFilter", "{trap}")],
    "man and browser": [("man.viewer", "x"), ("man.x.cmd", "{trap}"), ("browser.x.cmd", "{trap}")],
    "tools": [("difftool.x.cmd", "{trap}"), ("mergetool.x.cmd", "{trap}"), ("diff.tool", "x")],
}
FILES = {
    "submodules": (
        ".gitmodules",
        '[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c {trap}\n\tupdate = !{trap}\n',
    ),
    "lfs": (
        ".lfsconfig",
        "[lfs]\n\turl = ssh://-oProxyCommand={trap}/x\n\tclean = {trap}\n",
    ),
    "attributes below .git": (".git/info/attributes", ATTRIBUTES),
    "mailmap": (".mailmap", "`{trap}` <x@podium.invalid>\n"),
}


class Trap:
    """A program that leaves a mark when it runs, and the places where an agent puts it."""

    def __init__(self, house: House, path: Path) -> None:
        self.house = house
        self.path = path
        self.mark = house.root / "canary"
        self.script = house.root / "trap"
        self.script.write_text(f'#!/bin/sh\necho "$0 $*" >> {shlex.quote(str(self.mark))}\n')
        self.script.chmod(0o755)
        self.hooks = house.root / "trap-hooks"
        self.hooks.mkdir()
        for name in HOOKS:
            (self.hooks / name).write_bytes(self.script.read_bytes())
            (self.hooks / name).chmod(0o755)
        self.included = house.root / "included"
        self.included.write_text(f"[core]\n\tfsmonitor = {self.script}\n[diff]\n\texternal = {self.script}\n")

    def fill(self, text: str) -> str:
        return text.format(trap=self.script, hooks=self.hooks, included=self.included)

    def configure(self, name: str) -> None:
        for key, value in CONFIGURED[name]:
            self.house.plain(self.path, "config", "--add", self.fill(key), self.fill(value), check=False)
        if name == "worktree config":
            text = f"[core]\n\tfsmonitor = {self.script}\n"
            (self.path / ".git/config.worktree").write_text(text)

    def write(self, name: str) -> None:
        path, text = FILES[name]
        (self.path / path).parent.mkdir(exist_ok=True)
        (self.path / path).write_text(self.fill(text))

    def hook(self) -> None:
        hooks = self.path / ".git/hooks"
        hooks.mkdir(exist_ok=True)
        for name in HOOKS:
            (hooks / name).write_bytes(self.script.read_bytes())
            (hooks / name).chmod(0o755)

    def tripped(self) -> str:
        return self.mark.read_text() if self.mark.exists() else ""


async def agents_work(house: House) -> Workspace:
    """A workspace with commits, changes, new files and a nested repository, all under trap attributes."""
    made = await house.workspace()
    (made.path / ".gitattributes").write_text(ATTRIBUTES)
    house.commit(made.path, {"src/a.py": "a = 2\n", "src/c.py": "c\n"}, "committed")
    house.init(made.path / "nested", {"inner": "1\n"})
    house.plain(made.path, "checkout", "-q", "-b", "side")
    house.commit(made.path, {"side": "1\n"}, "side")
    house.plain(made.path, "checkout", "-q", "podium/task_1-fix")
    (made.path / "src/a.py").write_text("a = 3\n")
    (made.path / "new").write_text("new\n")
    return made


async def everything_we_do(house: House, made: Workspace) -> None:
    """Every operation of git/ that sees the agent's work."""
    git = house.podium
    here = Place(git_dir=house.mirror_path)
    await workspace.live_diff(git, made, limit_bytes=100_000)
    captured = await capture.capture(git, made, LEFTOVERS)
    assert captured.leftover
    await changes.diff(git, here, made.base, captured.tip, limit_bytes=100_000)
    await changes.changed_files(git, here, made.base, captured.tip)
    await changes.log(git, here, made.base, captured.tip, limit=10)
    ref = parse_ref("refs/podium/change")
    out = house.root / "change.bundle"
    await bundle.make(git, made.git_dir, made.base, captured.tip, ref, out)
    await bundle.import_into(git, house.mirror_path, out, expect_ref=ref, to_ref=parse_ref("refs/podium/in"))
    await mirror.fetch(git, await house.mirrored())
    second = await house.workspace("run_2", start=captured.tip)
    (second.path / "src/a.py").write_text("a = 4\n")
    await workspace.live_diff(git, second, limit_bytes=100_000)
    await capture.capture(git, second, LEFTOVERS)
    await workspace.remove(git, second, house.work)
    if captured.unsaved:
        with pytest.raises(WorkAtRisk):
            await workspace.remove(git, made, house.work)
        await workspace.destroy(made, house.work)
    else:
        await workspace.remove(git, made, house.work)
    assert not made.path.exists()


@pytest.mark.parametrize("name", CONFIGURED)
async def test_a_configured_program_of_the_agent_never_runs(house: House, name: str) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    trap.configure(name)
    trap.mark.unlink(missing_ok=True)
    await everything_we_do(house, made)
    assert trap.tripped() == ""


@pytest.mark.parametrize("name", FILES)
async def test_a_file_of_the_agent_never_makes_git_run_anything(house: House, name: str) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    trap.write(name)
    trap.mark.unlink(missing_ok=True)
    await everything_we_do(house, made)
    assert trap.tripped() == ""


async def test_no_hook_of_the_agent_runs_whatever_its_name(house: House) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    trap.hook()
    await everything_we_do(house, made)
    assert trap.tripped() == ""


async def test_traps_in_a_nested_repository_do_not_run(house: House) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path / "nested")
    trap.hook()
    trap.configure("fsmonitor")
    trap.configure("filter clean and smudge")
    (made.path / "nested/.gitattributes").write_text(ATTRIBUTES)
    trap.mark.unlink(missing_ok=True)
    await everything_we_do(house, made)
    assert trap.tripped() == ""


async def test_traps_in_the_environment_and_the_home_of_the_user_do_not_run(house: House) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    config = f"[core]\n\tfsmonitor = {trap.script}\n\thooksPath = {trap.hooks}\n"
    (house.user_home / ".gitconfig").write_text(config)
    for name in ("GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_PROXY_COMMAND"):
        house.podium._environ[name] = str(trap.script)
    house.podium._environ["GIT_DIR"] = "/nowhere"
    await everything_we_do(house, made)
    assert trap.tripped() == ""


def _add(house: House, path: Path) -> None:
    house.plain(path, "add", "-A", check=False)


def _commit(house: House, path: Path) -> None:
    house.plain(path, "commit", "-qam", "x", check=False)


def _diff(house: House, path: Path) -> None:
    house.plain(path, "diff", check=False)


def _show(house: House, path: Path) -> None:
    house.plain(path, "checkout", "-q", "--", "src/c.py", check=False)
    (path / "src/c.py").unlink(missing_ok=True)
    house.plain(path, "checkout", "-q", "--", "src/c.py", check=False)


def _missing_object(house: House, path: Path) -> None:
    house.plain(path, "cat-file", "-p", "1" * 40, check=False)


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("fsmonitor", _add),
        ("hooksPath", _commit),
        ("filter clean and smudge", _add),
        ("filter clean and smudge", _show),
        ("filter process", _add),
        ("external diff", _diff),
        ("diff command", _diff),
        ("textconv", _diff),
        ("gpg", _commit),
        ("include", _add),
        ("worktree config", _add),
        ("lazy fetch", _missing_object),
    ],
)
async def test_the_traps_are_real_because_plain_git_in_the_workspace_springs_them(
    house: House, name: str, verb: Callable[[House, Path], None]
) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    trap.configure(name)
    trap.mark.unlink(missing_ok=True)
    verb(house, made.path)
    assert trap.tripped() != ""


async def test_a_missing_object_does_not_make_the_fetch_run_the_agents_remote(house: House) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    tip = house.head(made.path)
    (made.path / ".git/objects" / tip[:2] / tip[2:]).unlink()
    trap.configure("lazy fetch")
    trap.mark.unlink(missing_ok=True)
    captured = await capture.capture(house.podium, made, LEFTOVERS)
    assert trap.tripped() == ""
    assert house.files_at(house.mirror_path, captured.tip)["new"] == "new"


async def test_a_branch_made_of_a_hostile_bundle_changes_nothing(house: House) -> None:
    made = await agents_work(house)
    trap = Trap(house, made.path)
    path = house.root / "hostile.bundle"
    head = f"# v2 git bundle\n{'1' * 40} --upload-pack={trap.script}\n\n"
    path.write_bytes(head.encode() + b"PACK")
    ref = parse_ref("refs/podium/change")
    with pytest.raises(BundleRefused):
        await bundle.import_into(house.podium, house.mirror_path, path, expect_ref=ref, to_ref=ref)
    assert trap.tripped() == ""


async def test_a_poisoned_gitmodules_left_uncommitted_costs_itself_and_nothing_else(
    house: House,
) -> None:
    made = await agents_work(house)
    Trap(house, made.path).write("submodules")
    captured = await capture.capture(house.podium, made, LEFTOVERS)
    assert captured.drift == ("nested_repository", "files_unsaved")
    assert captured.unsaved == (".gitmodules",)
    assert house.files_at(house.mirror_path, captured.tip)["src/a.py"] == "a = 3"
