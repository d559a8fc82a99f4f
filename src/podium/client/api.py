"""`Client`: every address of the API as a method, answers as the structs of `kernel.nouns`.

Every mutation takes `key`, an Idempotency-Key: with the same key and body a repeat (after a lost answer)
gives the first answer and has no second effect.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from podium.client.access import Access
from podium.client.blobs import put_artifact
from podium.client.errors import error_from
from podium.client.home import Target, find_target, target_of
from podium.client.pages import (
    Diff,
    EventPage,
    Followed,
    Output,
    Page,
    Partial,
    ShownSession,
    ShownTask,
    ShownWorker,
    Status,
    Waited,
)
from podium.client.sse import Message as Sent
from podium.client.sse import messages
from podium.client.transport import ANSWER_S, Transport
from podium.kernel.errors import PodiumError, Timeout, Unavailable
from podium.kernel.ids import ArtifactId
from podium.kernel.inquiry import Grant, Inquiry
from podium.kernel.nouns import Agent, Artifact, Change, Project, Run, Task
from podium.kernel.session import Message, Session

T = TypeVar("T")
WAIT_SLICE_S = 60.0
"""One long poll; longer waits are several."""
SILENCE_S = 45.0
"""Three missed heartbeats: the stream is dead, whatever TCP thinks."""
MAX_PAUSE_S = 5.0
SHUTDOWN_S = 120.0


def connect(environ: Mapping[str, str] = os.environ) -> Client:
    """The server of this machine. Raises Unavailable or Unauthorized, saying how to start one."""
    return Client(find_target(environ))


class Client(Access):
    """Synchronous; one per thread. Raises the server's errors as the classes of `kernel.errors`."""

    def __init__(
        self,
        target: Target,
        *,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._transport = Transport(target)
        self._pause = pause
        self._monotonic = monotonic
        self.url = target.url

    @classmethod
    def from_home(cls, home: Path) -> Self:
        """For the server that runs on `home`. Raises Unavailable, Unauthorized."""
        return cls(target_of(home))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    # ---- tasks -------------------------------------------------------------------------------------------

    def open_task(self, prompt: str, *, key: str | None = None, **fields: Any) -> Task:
        """`fields`: agent, title, project, repository, base, snapshot, target, checks, priority, source,
        session, fork, output_schema, attachments."""
        given = {name: value for name, value in fields.items() if value is not None}
        return self._ask(Task, "POST", "/tasks", body={"prompt": prompt, **given}, key=key)

    def tasks(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        status: str | None = None,
        project: str | None = None,
    ) -> Page[Task]:
        query = {"limit": limit, "after": after, "status": status, "project": project}
        return self._ask(Page[Task], "GET", "/tasks", query=query)

    def task(self, task_id: str) -> ShownTask:
        return self._ask(ShownTask, "GET", f"/tasks/{_part(task_id)}")

    def cancel_task(self, task_id: str, reason: str = "", *, key: str | None = None) -> Task:
        return self._ask(Task, "POST", f"/tasks/{_part(task_id)}/cancel", body={"reason": reason}, key=key)

    def retry_task(self, task_id: str, *, key: str | None = None) -> Task:
        return self._ask(Task, "POST", f"/tasks/{_part(task_id)}/retry", key=key)

    def wait(self, task_id: str, timeout_s: float) -> Task:
        """The task once it has ended or needs a person. Raises Timeout (details: `status`) when it does not
        in time. Outlives a restart of the server: it goes on asking until the time is up."""
        deadline = self._monotonic() + timeout_s
        pause_s = 0.1
        while True:
            remaining_s = max(0.0, deadline - self._monotonic())
            try:
                waited = self._wait_once(task_id, min(remaining_s, WAIT_SLICE_S))
                pause_s = 0.1
                if not waited.timed_out:
                    return waited.task
                if remaining_s <= WAIT_SLICE_S:
                    word = waited.task.status.word
                    raise Timeout(f"{task_id} is still {word} after {timeout_s:g} s", status=word)
            except Unavailable:
                if remaining_s <= pause_s:
                    raise
                self._pause(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _wait_once(self, task_id: str, timeout_s: float) -> Waited:
        return self._ask(
            Waited,
            "GET",
            f"/tasks/{_part(task_id)}/wait",
            query={"timeout_s": round(timeout_s, 3)},
            patience_s=timeout_s + ANSWER_S,
        )

    # ---- talking with agents -----------------------------------------------------------------------------

    def send_message(
        self, task_id: str, text: str, mode: str | None = None, *, key: str | None = None
    ) -> Message:
        """Say something to the agent of a task; without `mode` in its program's usual way. The `mode` of what
        comes back tells which it became."""
        body = {"text": text} | ({"mode": mode} if mode is not None else {})
        return self._ask(Message, "POST", f"/tasks/{_part(task_id)}/messages", body=body, key=key)

    def interrupt(self, task_id: str, text: str = "", *, key: str | None = None) -> Message:
        """Stop the turn that runs; the agent stays, for `text` or the next message."""
        return self._ask(Message, "POST", f"/tasks/{_part(task_id)}/interrupt", body={"text": text}, key=key)

    def set_model(self, task_id: str, model: str, *, key: str | None = None) -> Message:
        """Let the agent go on with another model; the message's state tells whether its program took it."""
        return self._ask(Message, "POST", f"/tasks/{_part(task_id)}/model", body={"model": model}, key=key)

    def messages(self, task_id: str, *, limit: int | None = None, after: str | None = None) -> Page[Message]:
        query = {"limit": limit, "after": after}
        return self._ask(Page[Message], "GET", f"/tasks/{_part(task_id)}/messages", query=query)

    def message(self, message_id: str) -> Message:
        return self._ask(Message, "GET", f"/messages/{_part(message_id)}")

    def sessions(
        self, *, limit: int | None = None, after: str | None = None, task: str | None = None
    ) -> Page[Session]:
        query = {"limit": limit, "after": after, "task": task}
        return self._ask(Page[Session], "GET", "/sessions", query=query)

    def session(self, session_id: str) -> ShownSession:
        return self._ask(ShownSession, "GET", f"/sessions/{_part(session_id)}")

    # ---- the inbox ---------------------------------------------------------------------------------------

    def inquiries(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        state: str | None = None,
        task: str | None = None,
        run: str | None = None,
    ) -> Page[Inquiry]:
        """Newest first; long effects are cut in the list (`effect.cut`)."""
        query = {"limit": limit, "after": after, "state": state, "task": task, "run": run}
        return self._ask(Page[Inquiry], "GET", "/inquiries", query=query)

    def inquiry(self, inquiry_id: str) -> Inquiry:
        """With its exact effect."""
        return self._ask(Inquiry, "GET", f"/inquiries/{_part(inquiry_id)}")

    def answer(self, inquiry_id: str, decision: str, reason: str = "", *, key: str | None = None) -> Inquiry:
        """`allow` or `deny`; the reason is given to the model. Raises Conflict when somebody else was first
        with another answer, or nobody waits for one any more."""
        body = {"decision": decision, "reason": reason}
        return self._ask(Inquiry, "POST", f"/inquiries/{_part(inquiry_id)}/answer", body=body, key=key)

    def grants(
        self, *, limit: int | None = None, after: str | None = None, task: str | None = None
    ) -> Page[Grant]:
        query = {"limit": limit, "after": after, "task": task}
        return self._ask(Page[Grant], "GET", "/grants", query=query)

    # ---- runs --------------------------------------------------------------------------------------------

    def runs(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        task: str | None = None,
        only_open: bool | None = None,
    ) -> Page[Run]:
        query = {"limit": limit, "after": after, "task": task, "open": only_open}
        return self._ask(Page[Run], "GET", "/runs", query=query)

    def run(self, run_id: str) -> Run:
        return self._ask(Run, "GET", f"/runs/{_part(run_id)}")

    def diagnose(self, run_id: str) -> dict[str, Any]:
        return self._ask(dict[str, Any], "GET", f"/runs/{_part(run_id)}/diagnose")

    def output(
        self, run_id: str, *, stream: str = "out", offset: int = 0, limit: int | None = None
    ) -> Output:
        """A part of a run's raw output, while it works and afterwards; `next` and `size` say what is left."""
        query = {"stream": stream, "offset": offset, "limit": limit}
        answer = self._transport.send("GET", f"/runs/{_part(run_id)}/output", query=query)
        names = ("offset", "next", "size")
        places = {name: int(answer.headers[f"podium-{name}"]) for name in names}
        return Output(data=answer.content, **places)

    def run_diff(self, run_id: str) -> Diff:
        return self._diff(f"/runs/{_part(run_id)}/diff")

    # ---- changes -----------------------------------------------------------------------------------------

    def changes(
        self, *, limit: int | None = None, after: str | None = None, task: str | None = None
    ) -> Page[Change]:
        query = {"limit": limit, "after": after, "task": task}
        return self._ask(Page[Change], "GET", "/changes", query=query)

    def change(self, change_id: str) -> Change:
        return self._ask(Change, "GET", f"/changes/{_part(change_id)}")

    def change_diff(self, change_id: str) -> Diff:
        return self._diff(f"/changes/{_part(change_id)}/diff")

    def bundle(self, change_id: str) -> Iterator[bytes]:
        """The change's commits as a git bundle, in pieces."""
        return self._bytes(f"/changes/{_part(change_id)}/bundle")

    def note_applied(self, change_id: str, where: str, *, key: str | None = None) -> Change:
        return self._ask(
            Change, "POST", f"/changes/{_part(change_id)}/applied", body={"where": where}, key=key
        )

    def _diff(self, path: str) -> Diff:
        answer = self._transport.send("GET", path)
        return Diff(patch=answer.content, truncated=answer.headers.get("podium-truncated") == "true")

    # ---- projects, agents, workers -----------------------------------------------------------------------

    def add_project(self, name: str, *, key: str | None = None, **fields: Any) -> Project:
        """`fields`: repository, target, max_running, checks."""
        given = {name: value for name, value in fields.items() if value is not None}
        return self._ask(Project, "POST", "/projects", body={"name": name, **given}, key=key)

    def projects(self, *, limit: int | None = None, after: str | None = None) -> Page[Project]:
        return self._ask(Page[Project], "GET", "/projects", query={"limit": limit, "after": after})

    def project(self, reference: str) -> Project:
        """By id or name."""
        return self._ask(Project, "GET", f"/projects/{_part(reference)}")

    def remove_project(self, reference: str, *, key: str | None = None) -> None:
        self._transport.send("DELETE", f"/projects/{_part(reference)}", key=key)

    def trust_file(self, reference: str, path: str, sha256: str, *, key: str | None = None) -> Project:
        """Honour a configuration file of the project's repository while its content has this hash."""
        body = {"path": path, "sha256": sha256}
        return self._ask(Project, "PUT", f"/projects/{_part(reference)}/trusted-files", body=body, key=key)

    def distrust_file(self, reference: str, path: str, *, key: str | None = None) -> Project:
        where = f"/projects/{_part(reference)}/trusted-files"
        return self._ask(Project, "DELETE", where, query={"path": path}, key=key)

    def agents(self, *, limit: int | None = None, after: str | None = None) -> Page[Agent]:
        return self._ask(Page[Agent], "GET", "/agents", query={"limit": limit, "after": after})

    def agent(self, name: str) -> Agent:
        return self._ask(Agent, "GET", f"/agents/{_part(name)}")

    def define_agent(self, name: str, *, key: str | None = None, **fields: Any) -> Agent:
        """`fields`: harness, model, instructions, options, login, mcp_servers, env, permissions, limits."""
        return self._ask(Agent, "PUT", f"/agents/{_part(name)}", body=fields, key=key)

    def remove_agent(self, name: str, *, key: str | None = None) -> None:
        self._transport.send("DELETE", f"/agents/{_part(name)}", key=key)

    def workers(self, *, limit: int | None = None, after: str | None = None) -> Page[ShownWorker]:
        return self._ask(Page[ShownWorker], "GET", "/workers", query={"limit": limit, "after": after})

    # ---- artifacts, events, the server -------------------------------------------------------------------

    def artifacts(
        self, *, limit: int | None = None, after: str | None = None, task: str | None = None
    ) -> Page[Artifact]:
        query = {"limit": limit, "after": after, "task": task}
        return self._ask(Page[Artifact], "GET", "/artifacts", query=query)

    def put_artifact(self, path: Path, *, name: str, media_type: str) -> ArtifactId:
        """Store a file's bytes; again is no change. Raises NotFound, Unavailable, TooLarge, StorageFull."""
        import anyio

        return anyio.run(partial(put_artifact, self._target, path, media_type=media_type, name=name))

    def artifact(self, artifact_id: str) -> Iterator[bytes]:
        """Its bytes, in pieces."""
        return self._bytes(f"/artifacts/{_part(artifact_id)}")

    def status(self) -> Status:
        return self._ask(Status, "GET", "/status")

    def shutdown(self, *, stop_agents: bool = False) -> None:
        """Ask the server to end. Agents live on and are taken up again, unless they are to be stopped: then
        their tasks go on at the next start. Raises WorkerUnreachable when that cannot be told to a worker."""
        body = {"stop_agents": stop_agents}
        self._transport.send("POST", "/shutdown", body=body, patience_s=SHUTDOWN_S)

    def event_page(
        self,
        *,
        after: str | None = None,
        task: str | None = None,
        run: str | None = None,
        types: str | None = None,
        limit: int | None = None,
    ) -> EventPage:
        query = {"after": after, "task": task, "run": run, "type": types, "limit": limit}
        return self._ask(EventPage, "GET", "/events", query=query)

    def events(
        self,
        after: str | None = None,
        *,
        follow: bool = True,
        task: str | None = None,
        run: str | None = None,
        types: str | None = None,
        on_partial: Callable[[Partial], None] | None = None,
    ) -> Iterator[Followed]:
        """Events strictly after `after`, each exactly once and in order, across lost connections and
        restarts of the server. With `follow` without end, from now on when `after` is None; without, to the
        present end, from the beginning when `after` is None. Raises CursorExpired when it was too slow.

        `on_partial`, with `follow` and a task or run: called with text while it is being said, between two
        events. Pieces may be missing; the event that follows has the whole text."""
        filters = {"task": task, "run": run, "type": types}
        return self._follow(after, filters, on_partial) if follow else self._read(after, filters)

    # ---- inside ------------------------------------------------------------------------------------------

    def _read(self, after: str | None, filters: dict[str, str | None]) -> Iterator[Followed]:
        while True:
            page = self._ask(EventPage, "GET", "/events", query={"after": after, **filters, "limit": 500})
            for number, event in enumerate(page.events, start=1):
                # The server names places between pages only: half way, the place is the page's beginning.
                yield Followed(cursor=page.cursor if number == len(page.events) else after, event=event)
            if page.cursor == after or not page.events:
                return
            after = page.cursor

    def _follow(
        self,
        after: str | None,
        filters: dict[str, str | None],
        on_partial: Callable[[Partial], None] | None,
    ) -> Iterator[Followed]:
        import httpx

        pause_s = 0.0
        query = filters | ({"partial": "true"} if on_partial is not None else {})
        while True:
            headers = {"last-event-id": after} if after is not None else {}
            try:
                with self._transport.stream(
                    "/events/stream", query=query, headers=headers, gap_s=SILENCE_S
                ) as answer:
                    for message in messages(answer.iter_lines()):
                        pause_s = 0.0
                        _raise_if_error(message)
                        if message.kind == "partial":
                            if on_partial is not None:
                                on_partial(msgspec.json.decode(message.data, type=_PartialFrame).partial)
                            continue
                        after = message.id
                        if message.data:
                            yield Followed(cursor=after, event=msgspec.json.decode(message.data))
            except (httpx.HTTPError, Unavailable) as error:
                if isinstance(error, httpx.ConnectError) and after is None:
                    raise Unavailable(f"{self.url} does not answer", hint="start one: podium up") from error
            # Ended or lost: go on behind the last event that was handed out.
            self._pause(pause_s)
            pause_s = min(max(pause_s * 2, 0.1), MAX_PAUSE_S)

    def _bytes(self, path: str) -> Iterator[bytes]:
        import httpx

        try:
            with self._transport.stream(path, gap_s=ANSWER_S) as answer:
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url} broke off: {type(error).__name__}") from error

    def _ask(self, kind: type[T], method: str, path: str, **rest: Any) -> T:
        return self._transport.ask(kind, method, path, **rest)


class _PartialFrame(msgspec.Struct, frozen=True):
    partial: Partial


def _raise_if_error(message: Sent) -> None:
    if message.kind == "error":
        error: PodiumError = error_from(0, message.data.encode())
        raise error


def _part(raw: str) -> str:
    """One part of a path, whatever was typed."""
    from urllib.parse import quote

    return quote(raw, safe="") or "%20"
