"""`podium demo`: the whole way of a run on a small real project, in one command."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
from msgspec.structs import replace

from podium.app.background import running_server
from podium.app.daemon import Daemon
from podium.app.demo_project import FILES, REPAIRS
from podium.app.home import Home
from podium.client.api import Client
from podium.kernel.config import Settings
from podium.kernel.errors import PodiumError, Timeout, Unavailable
from podium.kernel.nouns import Change, Task
from podium.local.config import home_path
from podium.process.command import execute

WAIT_S = 120.0
SLICE_S = 0.5
INTERRUPTED = 130
STOPPING_S = 5.0
"""A server that stops has ended by then."""
PROJECT = "till"


class Demo:
    def __init__(self, home: Path, client: Client, *, quiet: bool) -> None:
        self._client = client
        self._quiet = quiet
        self._repository = home / "demo" / PROJECT

    def say(self, text: str = "") -> None:
        if not self._quiet:
            print(text, flush=True)

    async def prepare(self) -> None:
        """The project as a fresh repository, its tests failing, shown."""
        if self._repository.exists():
            shutil.rmtree(self._repository)
        for name, content in FILES.items():
            path = self._repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        identity = ("-c", "user.name=Podium demo", "-c", "user.email=demo@localhost")
        for words in (
            ("init", "-q", "-b", "main"),
            ("add", "."),
            ("commit", "-q", "-m", "A till with three bugs"),
        ):
            await self._run(["git", *identity, *words])
        self.say(f"A small project with three bugs: {self._repository}")
        for repair in REPAIRS:
            code = await self._run(repair.test, may_fail=True)
            self.say(f"  tests/test_{repair.module}.py  {'fails' if code else 'passes'} at the base commit")

    async def work(self) -> list[Task]:
        """Open three tasks and tell what happens until all have ended."""
        self.say("\nThree agents, one bug each, each in its own workspace:")
        tasks = [await anyio.to_thread.run_sync(self._open, repair) for repair in REPAIRS]
        end = time.monotonic() + WAIT_S
        return [await self._ended(task, end) for task in tasks]

    async def _ended(self, task: Task, end: float) -> Task:
        """In slices, so that Ctrl-C waits for none of them for long: a thread cannot be cancelled."""
        while True:
            try:
                return await anyio.to_thread.run_sync(self._client.wait, task.id, SLICE_S)
            except (Timeout, Unavailable):
                await anyio.lowlevel.checkpoint()
                if time.monotonic() > end:
                    raise

    def table(self, tasks: list[Task], changes: list[Change]) -> None:
        by_task = {change.task_id: change for change in changes}
        for task in tasks:
            change = by_task.get(task.id)
            checks = (
                ", ".join(f"{check.name} {check.verdict}" for check in change.checks)
                if change
                else "no change"
            )
            size = f"+{change.additions} -{change.deletions}" if change else ""
            self.say(f"  {task.title:<40} {task.status.word:<8} {checks:<18} {size}")

    def changes_of(self, tasks: list[Task]) -> list[Change]:
        return [self._client.change(task.change_id) for task in tasks if task.change_id is not None]

    def _open(self, repair: Any) -> Task:
        check = {"name": "tests", "argv": repair.test, "timeout_s": 60}
        return self._client.open_task(
            prompt=repair.prompt,
            title=repair.title,
            agent="scripted",
            repository=str(self._repository),
            checks=[check],
        )

    async def _run(self, argv: list[str], *, may_fail: bool = False) -> int:
        done = await execute(argv, cwd=self._repository, env=_environment(os.environ), timeout_s=60)
        if done.code and not may_fail:
            raise PodiumError(f"{argv[0]} failed: {done.stderr.decode(errors='replace')[:300]}")
        return done.code


async def run_demo(settings: Settings, once: bool, as_json: bool) -> int:
    """0 when every task is done and every check passed, 130 when it was stopped before that is known."""
    codes: list[int] = []
    try:
        async with _server(settings) as (home, url):
            with Client.from_home(home) as client:
                codes.append(await _show(Demo(home, client, quiet=as_json), home, url, once, as_json))
            if not once:
                await anyio.sleep_forever()
    except ExceptionGroup as group:
        # Raised inside the server's task group; told as the one error that it is.
        raise _first(group) from group
    return codes[0] if codes else INTERRUPTED


async def _show(demo: Demo, home: Path, url: str, once: bool, as_json: bool) -> int:
    """The tour itself, from the repository to the table; its exit code."""
    began = time.monotonic()
    try:
        await demo.prepare()
        tasks = await demo.work()
        changes = await anyio.to_thread.run_sync(demo.changes_of, tasks)
    except Unavailable:
        # A server that was told to stop answers no more, a moment before it ends and cancels us.
        await anyio.sleep(STOPPING_S)
        raise
    seconds = round(time.monotonic() - began, 2)
    green = len(changes) == len(REPAIRS) and all(
        check.verdict == "pass" for change in changes for check in change.checks
    )
    green = green and all(task.status.word in {"review", "done"} for task in tasks)
    if as_json:
        print(json.dumps(_result(tasks, changes, url, seconds)))
    else:
        demo.table(tasks, changes)
        _farewell(demo, tasks, home, url, seconds, green, once)
    return 0 if green else 1


def _first(group: ExceptionGroup[Exception]) -> Exception:
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found


def _result(tasks: list[Task], changes: list[Change], url: str, seconds: float) -> dict[str, Any]:
    return {
        "tasks": [{"id": task.id, "status": task.status.word} for task in tasks],
        "changes": [
            {
                "branch": change.branch,
                "files": change.files,
                "checks": [{"name": check.name, "verdict": str(check.verdict)} for check in change.checks],
            }
            for change in changes
        ],
        "url": url,
        "seconds": seconds,
    }


def _farewell(
    demo: Demo, tasks: list[Task], home: Path, url: str, seconds: float, green: bool, once: bool
) -> None:
    prefix = f"PODIUM_HOME={home} ./podium"
    verdict = f"{'All green' if green else 'Not green'} after {seconds:g} s."
    if once:
        demo.say(f"\n{verdict} The server has ended; its home stays.\nStart it again and look around:")
        demo.say(f"  {prefix} up --detach")
    else:
        demo.say(f"\n{verdict} Podium serves on {url} until Ctrl-C.\nTry, in another terminal:")
    apply = f"apply {tasks[0].id} --repo {tasks[0].repository}"
    for words in ("ps", f"logs {tasks[0].id}", f"diff {tasks[0].id}", apply, "events tail"):
        demo.say(f"  {prefix} {words}")


@asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[tuple[Path, str]]:
    """The server that runs on $PODIUM_HOME, or one of our own; without $PODIUM_HOME on a temporary home."""
    given = os.environ.get("PODIUM_HOME")
    home = home_path() if given else Path(tempfile.mkdtemp(prefix="podium-demo-"))
    found = running_server(home)
    if found is not None:
        yield home, found.url
        return
    if not given:
        # A passing home has a database of its own, whatever database the person's own home is on.
        settings = replace(settings, database_url=None)
    daemon = Daemon(Home(home), settings)
    async with daemon.serving(signals=True) as stopped, anyio.create_task_group() as tasks:

        async def end_with_server() -> None:
            await stopped.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(end_with_server)
        yield home, daemon.url
        tasks.cancel_scope.cancel()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {name: own[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in own} | {
        "PYTHONDONTWRITEBYTECODE": "1"
    }
