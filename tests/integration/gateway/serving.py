"""A gateway over a real store and engine, served by a real uvicorn on a port of loopback. No worker unless
a test brings one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec

from podium.bus import messages as m
from podium.bus.inprocess import InProcessBus
from podium.engine.engine import Engine, EngineSettings
from podium.engine.mirrors import ServerMirrors
from podium.gateway.app import build_app
from podium.gateway.server import Listening, Server, listen
from podium.gateway.settings import GatewaySettings
from podium.gateway.token_files import TokenFiles, ensure_tokens
from podium.git.command import Git
from podium.kernel import events as e
from podium.kernel.ids import IdMaker, RunId, TaskId, WorkerId
from podium.kernel.nouns import Agent
from podium.process.clock import SystemClock
from podium.process.command import execute
from podium.store.ring import Ring
from podium.store.store import Store
from podium.testing.databases import chosen

WORKER = WorkerId("worker_" + "0" * 26)
API = "/api/v1"


class Serving:
    """Handles on everything a test may want to touch."""

    def __init__(self, home: Path, engine_settings: EngineSettings | None) -> None:
        self.home = home
        self.clock = SystemClock()
        self.ids = IdMaker(self.clock, os.urandom)
        self.store = Store(home, self.clock, boot_id="serving", database_url=chosen.url(home))
        self.bus = InProcessBus()
        mirrors = ServerMirrors(Git(execute, home / "git-home", os.environ), home / "mirrors")
        settings = engine_settings or EngineSettings()
        self.engine = Engine(self.store, self.bus.server_end(), self.ids, mirrors, settings)
        self.listening: Listening
        self.server: Server
        self.tokens: TokenFiles

    @property
    def url(self) -> str:
        return self.listening.url

    def client(self, token: str | None = None, **options: Any) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token or self.tokens.owner}"}
        return httpx.AsyncClient(
            base_url=self.url + API, headers=headers, timeout=30, trust_env=False, **options
        )

    async def say(self, text: str, *, task_id: str = "", times: int = 1) -> None:
        """Events that change no noun, as an agent's output makes them."""
        said = e.RunSaid(task_id=TaskId(task_id), run_id=RunId(""), text=text)

        def append(unit: Any) -> None:
            for _ in range(times):
                unit.append(said, by="test")

        await self.store.writer.run(append, durable=False)

    @asynccontextmanager
    async def worker(
        self, answer: Callable[[m.ToWorker], Any], holding: tuple[m.Held, ...] = ()
    ) -> AsyncIterator[None]:
        """A worker that has said Hello and answers with `answer`."""
        bus = self.bus.worker_end()
        ready = anyio.Event()

        async def handle(message: m.ToWorker) -> Any:
            result = answer(message)
            return await result if hasattr(result, "__await__") else result

        async def hello() -> None:
            await bus.ask(
                m.Hello(
                    worker_id=WORKER,
                    node="n",
                    capacity=1,
                    version="1",
                    isolation="bare",
                    free_memory_bytes=1 << 30,
                    holding=holding,
                )
            )
            ready.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.run, handle, hello)
            await ready.wait()
            yield
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(
    home: Path,
    *,
    engine: EngineSettings | None = None,
    port: int = 0,
    ring: dict[str, int] | None = None,
    **limits: Any,
) -> AsyncIterator[Serving]:
    """`limits`: fields of GatewaySettings. `ring`: smaller bounds for the ring."""
    rig = Serving(home, engine)
    await rig.store.open("test")
    if ring:
        rig.store.ring = rig.store.writer._ring = Ring(last_seq=rig.store.ring.last_seq, **ring)
    rig.tokens = await ensure_tokens(rig.store, home)
    await rig.store.writer.run(
        lambda unit: unit.record(e.AgentDefined(agent=Agent(name="claude", harness="scripted")), by="test")
    )
    rig.listening = listen(port=port)
    settings = GatewaySettings(host=rig.listening.host, port=rig.listening.port, **limits)
    rig.server = Server(build_app(rig.engine, rig.store, settings), rig.listening)
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(rig.engine.run)
            await tasks.start(_serve, rig, stopped := anyio.Event())
            yield rig
            rig.server.stop()
            await stopped.wait()
            tasks.cancel_scope.cancel()
    finally:
        rig.listening.socket.close()
        await rig.store.close()


async def _serve(rig: Serving, stopped: anyio.Event, *, task_status: Any) -> None:
    try:
        await rig.server.run(task_status=task_status)
    finally:
        stopped.set()


async def open_task(http: httpx.AsyncClient, prompt: str = "do it", **fields: Any) -> dict[str, Any]:
    answer = await http.post("/tasks", json={"prompt": prompt, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """(status, code), the envelope being complete."""
    error = msgspec.json.decode(answer.content)["error"]
    assert set(error) == {"code", "message", "hint", "details"}
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, str(error["code"])
