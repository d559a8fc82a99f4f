"""`podium send` and `interrupt`: real processes; what a worker would report is recorded in the store."""

from __future__ import annotations

import anyio
import httpx
import pytest

from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.ids import MessageId, RunId, TaskId
from tests.integration.cli.driving import podium
from tests.integration.gateway.asking import record, started
from tests.integration.gateway.serving import Serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not getattr(harness_class("scripted"), "modes", ()), reason="the scripted agent takes no messages yet"
    ),
]


async def goes_its_way(rig: Serving, http: httpx.AsyncClient, task_id: TaskId, run_id: RunId) -> None:
    """What becomes of the next message of the task, as its worker would tell."""
    with anyio.fail_after(30):
        while not (items := (await http.get(f"/tasks/{task_id}/messages")).json()["items"]):
            await anyio.sleep(0.02)
    about = {"task_id": task_id, "run_id": run_id, "message_id": MessageId(items[0]["id"])}
    await record(rig, e.MessageDelivered(**about), e.MessageStarted(**about), e.MessageCompleted(**about))


@pytest.mark.parametrize(
    ("words", "became"),
    [
        (("--steer",), "steers the turn that runs"),
        (("--queue",), "is queued behind the turn that runs"),
        (("--interrupt",), "interrupts the turn that runs"),
    ],
)
async def test_a_message_tells_which_it_became_and_is_watched_to_its_end(
    rig: Serving,
    http: httpx.AsyncClient,
    words: tuple[str, ...],
    became: str,
) -> None:
    task_id, run_id = await started(rig, http)
    done: list[tuple[int, str, str]] = []

    async def send() -> None:
        done.append(
            await podium(rig, "send", task_id[-6:], "look there", *words, "--wait", "--timeout", "30")
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await goes_its_way(rig, http, task_id, run_id)
    code, out, _ = done[0]
    assert code == 0
    assert out.splitlines()[0].endswith(became)
    assert out.splitlines()[1] == "completed"


async def test_who_does_not_wait_is_told_that_it_stays_queued(
    rig: Serving,
    http: httpx.AsyncClient,
) -> None:
    task_id, _ = await started(rig, http)
    code, out, _ = await podium(rig, "send", task_id, "-", stdin="from\na pipe\n")
    assert code == 0
    assert out.splitlines()[-1] == "not delivered yet; it stays queued"
    (message,) = (await http.get(f"/tasks/{task_id}/messages")).json()["items"]
    assert message["text"] == "from\na pipe\n"
    code, out, _ = await podium(rig, "send", task_id, "x", "--wait", "--timeout", "0.2")
    assert code == 124


async def test_a_model_is_named_by_itself(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, _ = await started(rig, http)
    code, out, _ = await podium(rig, "model", task_id, "opus", "--json")
    assert code == 0
    assert '"mode":"model"' in out
    code, _, told = await podium(rig, "model", task_id, "two words")
    assert code == 1
    assert "no name of a model" in told


async def test_an_interrupt_needs_no_text_a_message_does(
    rig: Serving,
    http: httpx.AsyncClient,
) -> None:
    task_id, _ = await started(rig, http)
    code, out, _ = await podium(rig, "interrupt", task_id, "--json")
    assert code == 0
    assert '"mode":"interrupt"' in out
    assert (await podium(rig, "send", task_id, " "))[0] == 1
    await http.post(f"/tasks/{task_id}/cancel")
    code, _, told = await podium(rig, "interrupt", task_id)
    assert code == 1
    assert "podium run --session" in told
