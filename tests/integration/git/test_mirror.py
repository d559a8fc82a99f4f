from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from podium.git import mirror
from podium.git.command import Git
from podium.git.names import parse_commit
from podium.git.turn import turn
from podium.git.urls import parse_url
from podium.kernel.errors import RepositoryUnusable, Unavailable
from podium.kernel.execution import Completed

from .conftest import House, execute

pytestmark = pytest.mark.anyio


class Counting:
    """The real spawn, counting the fetches that pass through it."""

    def __init__(self) -> None:
        self.fetches = 0
        self.running = 0
        self.most = 0

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        limit_bytes: int = 16 * 1024 * 1024,
        stdout_path: Path | None = None,
    ) -> Completed:
        is_fetch = "fetch" in argv
        self.fetches += is_fetch
        self.running += is_fetch
        self.most = max(self.most, self.running)
        try:
            return await execute(
                argv,
                cwd=cwd,
                env=env,
                stdin=stdin,
                timeout_s=timeout_s,
                limit_bytes=limit_bytes,
                stdout_path=stdout_path,
            )
        finally:
            self.running -= is_fetch


async def refusal(house: House, path: Path) -> str:
    with pytest.raises(RepositoryUnusable) as caught:
        await mirror.ensure(house.podium, house.mirror_path, parse_url(str(path)))
    assert not house.mirror_path.exists()
    assert caught.value.hint
    return str(caught.value.details["reason"])


async def test_a_mirror_has_the_sources_branches_and_never_loses_objects_by_itself(house: House) -> None:
    house.plain(house.source, "branch", "feature/x")
    made = await house.mirrored()
    assert house.in_mirror("for-each-ref", "--format=%(refname)").split() == [
        "refs/podium/source/head",
        "refs/remotes/origin/feature/x",
        "refs/remotes/origin/main",
    ]
    assert house.in_mirror("config", "gc.auto") == "0"
    assert house.in_mirror("config", "maintenance.auto") == "false"
    assert house.in_mirror("config", "remote.origin.fetch") == "+refs/heads/*:refs/remotes/origin/*"
    assert await mirror.default_branch(house.podium, made) == "main"
    assert house.in_mirror("fsck", "--strict") == ""


async def test_probing_tells_the_default_branch_and_that_a_repository_is_empty(house: House) -> None:
    seen = await mirror.probe(house.podium, parse_url(str(house.source)))
    assert (seen.default_branch, seen.head, seen.heads) == ("main", house.head(house.source), 1)
    assert not seen.empty
    house.plain(house.root, "init", "-q", "nothing")
    assert (await mirror.probe(house.podium, parse_url(str(house.root / "nothing")))).empty


async def test_every_unusable_source_is_refused_with_its_reason_and_leaves_no_mirror(house: House) -> None:
    (house.root / "plain").mkdir()
    house.plain(house.root, "clone", "-q", "--depth=1", f"file://{house.source}", "shallow")
    assert await refusal(house, house.root / "absent") == "not_found"
    assert await refusal(house, house.root / "plain") == "not_a_repository"
    assert await refusal(house, house.root / "shallow") == "shallow"


async def test_a_source_that_becomes_unreachable_later_is_named_too(house: House) -> None:
    made = await house.mirrored()
    house.source.rename(house.root / "moved")
    with pytest.raises(RepositoryUnusable) as caught:
        await mirror.fetch(house.podium, made)
    assert caught.value.details["reason"] == "not_found"
    moved = await mirror.ensure(house.podium, house.mirror_path, parse_url(str(house.root / "moved")))
    await mirror.fetch(house.podium, moved)


async def test_a_host_that_does_not_answer_is_unreachable(house: House) -> None:
    with pytest.raises(RepositoryUnusable) as caught:
        await mirror.probe(house.podium, parse_url("https://127.0.0.1:9/owner/name"))
    assert caught.value.details["reason"] == "unreachable"


async def test_an_empty_repository_has_a_mirror_but_no_base(house: House) -> None:
    house.plain(house.root, "init", "-q", "nothing")
    made = await mirror.ensure(house.podium, house.mirror_path, parse_url(str(house.root / "nothing")))
    with pytest.raises(RepositoryUnusable) as caught:
        await mirror.resolve(house.podium, made, "HEAD")
    assert caught.value.details["reason"] == "empty"


async def test_a_name_resolves_to_the_commit_it_means_now(house: House) -> None:
    made = await house.mirrored()
    house.plain(house.source, "tag", "-a", "v1", "-m", "one")
    first = house.head(house.source)
    second = house.commit(house.source, {"more": "1\n"}, "more")
    house.plain(house.source, "checkout", "-q", "--detach")
    detached = house.commit(house.source, {"loose": "1\n"}, "on no branch")
    resolved = [
        await mirror.resolve(house.podium, made, name)
        for name in ("v1", "main", "HEAD", detached, first, second[:10])
    ]
    assert resolved == [first, second, detached, detached, first, second]


async def test_a_commit_on_no_branch_of_the_source_is_fetched_by_its_hash(house: House) -> None:
    made = await house.mirrored()
    house.plain(house.source, "checkout", "-q", "--detach")
    loose = house.commit(house.source, {"loose": "1\n"}, "loose")
    house.plain(house.source, "checkout", "-q", "main")
    assert await mirror.resolve(house.podium, made, loose) == loose


@pytest.mark.parametrize("name", ["absent", "1" * 40, "--upload-pack=x", "a..b", ""])
async def test_a_base_that_does_not_exist_is_refused_as_such(house: House, name: str) -> None:
    made = await house.mirrored()
    with pytest.raises(RepositoryUnusable) as caught:
        await mirror.resolve(house.podium, made, name)
    assert caught.value.details["reason"] == "unknown_base"


async def test_sources_that_are_bare_linked_dirty_or_oddly_named_work(house: House) -> None:
    house.plain(house.source, "worktree", "add", "-q", "-b", "linked", str(house.root / "linked tree"))
    house.plain(house.root, "clone", "-q", "--bare", str(house.source), "bare.git")
    (house.source / "readme.md").write_text("dirty")
    for number, path in enumerate((house.source, house.root / "linked tree", house.root / "bare.git")):
        made = await mirror.ensure(house.podium, house.root / f"m{number}", parse_url(str(path)))
        assert await mirror.resolve(house.podium, made, "HEAD") == house.head(path)


async def test_branches_with_any_name_are_mirrored_and_deleted_ones_make_room(house: House) -> None:
    house.plain(house.source, "branch", "zweig/größe")
    house.plain(house.source, "branch", "名前")
    house.plain(house.source, "branch", "a")
    made = await house.mirrored()
    house.plain(house.source, "branch", "-D", "a")
    house.plain(house.source, "branch", "a/b")
    await mirror.fetch(house.podium, made)
    assert await mirror.resolve(house.podium, made, "a/b") == house.head(house.source)
    assert await mirror.resolve(house.podium, made, "zweig/größe") == house.head(house.source)


async def test_a_repository_of_sha256_hashes_works(house: House) -> None:
    source = house.root / "wide"
    source.mkdir()
    house.plain(source, "init", "-q", "-b", "main", "--object-format=sha256")
    head = house.commit(source, {"a": "1\n"}, "first")
    made = await mirror.ensure(house.podium, house.mirror_path, parse_url(str(source)))
    assert await mirror.resolve(house.podium, made, "main") == head
    assert len(head) == 64


async def test_a_source_of_another_owner_can_be_fetched(house: House) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    for path in (house.source, house.source / ".git"):
        os.chown(path, 12345, 12345)
    made = await house.mirrored()
    assert await mirror.resolve(house.podium, made, "main")


async def test_twenty_callers_at_once_share_two_fetches_and_never_overlap(house: House) -> None:
    made = await house.mirrored()
    counting = Counting()
    git = Git(counting, house.root / "counting-home", {"PATH": os.environ["PATH"]})
    await asyncio.gather(*(mirror.fetch(git, made) for _ in range(20)))
    assert counting.fetches <= 2
    assert counting.most == 1


async def test_a_commit_that_is_here_costs_no_fetch(house: House) -> None:
    made = await house.mirrored()
    counting = Counting()
    git = Git(counting, house.root / "counting-home", {"PATH": os.environ["PATH"]})
    await mirror.fetch(git, made, want=house.head(house.source))
    await mirror.resolve(git, made, house.head(house.source))
    assert counting.fetches == 0


async def test_another_process_that_keeps_the_mirror_is_waited_for_and_then_named(house: House) -> None:
    made = await house.mirrored()
    holder = await asyncio.create_subprocess_exec(
        "flock", str(made.path / "podium.lock"), "sh", "-c", "echo held; read _", stdin=-1, stdout=-1
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    await holder.stdout.readline()
    with pytest.raises(Unavailable):
        async with turn(made.path, timeout_s=0.05):
            pass
    waiting = asyncio.ensure_future(mirror.fetch(house.podium, made))
    holder.stdin.write_eof()
    await asyncio.wait_for(waiting, 20)
    await holder.wait()


async def test_old_formatting_faults_of_honest_histories_do_not_stop_a_fetch(house: House) -> None:
    tree = house.plain(house.source, "rev-parse", "HEAD^{tree}")
    text = f"tree {tree}\nauthor Old <old@podium.invalid> 1 +051800\ncommitter Old <o> 1 +0000\n\nold\n"
    old = house.plain(
        house.source, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text.encode()
    )
    house.plain(house.source, "update-ref", "refs/heads/old", old)
    made = await house.mirrored()
    assert await mirror.resolve(house.podium, made, "old") == parse_commit(old)
