"""The inbox over HTTP: what is asked, exactly, and the one answer that counts."""

from __future__ import annotations

import anyio
import httpx
import pytest

from podium.bus import messages as m
from podium.kernel import events as e
from podium.kernel.ids import InquiryId
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Outcome, Reason
from tests.integration.gateway.asking import ask, command, edit, record, started
from tests.integration.gateway.serving import WORKER, Serving, error_of
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio
ABSENT = "inquiry_" + "0" * 26


async def test_what_an_agent_asks_stands_in_the_inbox_with_its_exact_effect(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http, "ship it")
    inquiry_id = await ask(rig, run_id, command("git push origin main"), why="to publish")
    listed = (await http.get("/inquiries", params={"state": "open"})).json()["items"]
    shown = (await http.get(f"/inquiries/{inquiry_id}")).json()
    assert listed == [shown]
    assert shown["effect"]["command"] == "git push origin main"
    assert (shown["title"], shown["why"], shown["risk"]) == ("ship it", "to publish", "high")
    assert (shown["task_id"], shown["run_id"], shown["state"]["word"]) == (task_id, run_id, "open")


async def test_a_task_that_asks_needs_you_until_it_is_answered(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    rig.engine.roster.hello(WORKER, 0)  # heard just now: else the status would be unknown
    status = (await http.get(f"/tasks/{task_id}")).json()["status"]
    assert (status["word"], status["reason"]) == ("needs you", "permission")
    waited = (await http.get(f"/tasks/{task_id}/wait", params={"timeout_s": 20})).json()
    assert waited["timed_out"] is False
    await http.post(f"/inquiries/{inquiry_id}/answer", json={"decision": "deny"})
    assert (await http.get(f"/tasks/{task_id}")).json()["status"]["word"] == "running"
    assert (await http.get("/tasks", params={"status": "needs you"})).json()["items"] == []


async def test_an_answer_names_who_gave_it_and_a_second_one_is_a_conflict(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    _, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    path = f"/inquiries/{inquiry_id}/answer"
    first = await http.post(path, json={"decision": "allow", "reason": "go on"})
    assert first.status_code == 200
    assert first.json()["state"]["word"] == "answered"
    given = first.json()["answer"]
    assert (given["decision"], given["by"], given["reason"]) == ("allow", "owner", "go on")
    assert (await http.post(path, json={"decision": "allow"})).json()["answer"] == given
    refused = await http.post(path, json={"decision": "deny"})
    assert error_of(refused) == (409, "conflict")
    assert "allowed by owner" in refused.json()["error"]["message"]
    assert (await http.get(f"/inquiries/{inquiry_id}")).json()["answer"] == given


async def test_of_twenty_answers_at_once_one_counts(rig: Serving, http: httpx.AsyncClient) -> None:
    _, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    codes: list[tuple[str, int]] = []

    async def give(decision: str) -> None:
        async with rig.client() as other:
            answer = await other.post(f"/inquiries/{inquiry_id}/answer", json={"decision": decision})
            codes.append((decision, answer.status_code))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(give, "allow" if number % 2 else "deny")
    won = (await http.get(f"/inquiries/{inquiry_id}")).json()["answer"]["decision"]
    assert sorted(codes) == sorted([(word, 200 if word == won else 409) for word in ("allow", "deny")] * 10)


async def test_an_answer_is_told_to_the_worker_at_once_and_a_repeated_key_answers_once(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    _, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    told: list[m.ToWorker] = []

    def answer(message: m.ToWorker) -> m.Answer:
        told.append(message)
        return m.Accepted()

    async with rig.worker(answer, holding=(m.Held(run_id=run_id, fence=1),)):
        key = {"idempotency-key": "k1"}
        path = f"/inquiries/{inquiry_id}/answer"
        first = await http.post(path, json={"decision": "allow"}, headers=key)
        again = await http.post(path, json={"decision": "allow"}, headers=key)
        await eventually_in_loop(lambda: any(isinstance(message, m.Deliver) for message in told))
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    delivered = [message for message in told if isinstance(message, m.Deliver)]
    assert delivered
    reply = delivered[0].pending.replies[0]
    assert (reply.inquiry_id, reply.reply_token, reply.decision) == (inquiry_id, "t1", Decision.ALLOW)


async def test_pages_go_by_key_and_are_filtered(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    _, other_run = await started(rig, http)
    made = [await ask(rig, run_id, command(f"make {n}"), token=f"t{n}") for n in range(5)]
    await ask(rig, other_run, command("other"))
    seen, after = [], None
    while True:
        query = {"limit": 2, "task": task_id} | ({"after": after} if after else {})
        page = (await http.get("/inquiries", params=query)).json()
        seen += [inquiry["id"] for inquiry in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(made)
    await http.post(f"/inquiries/{made[0]}/answer", json={"decision": "allow"})
    by_state = (await http.get("/inquiries", params={"state": "answered"})).json()["items"]
    assert [inquiry["id"] for inquiry in by_state] == [made[0]]
    assert error_of(await http.get("/inquiries", params={"state": "opn"})) == (400, "invalid_request")
    assert error_of(await http.get("/inquiries", params={"after": task_id})) == (400, "invalid_request")


async def test_a_list_carries_no_long_diff_one_inquiry_carries_it_whole(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    _, run_id = await started(rig, http)
    diff = "".join(f"+line {number}\n" for number in range(3_000))
    inquiry_id = await ask(rig, run_id, edit("/work/a.py", diff))
    (listed,) = (await http.get("/inquiries")).json()["items"]
    whole = (await http.get(f"/inquiries/{inquiry_id}")).json()
    assert "diff" not in listed["effect"]
    assert listed["effect"]["cut"] is True
    assert listed["effect"]["paths"] == ["/work/a.py"]
    assert listed["effect"]["digest"] == whole["effect"]["digest"]
    assert whole["effect"]["diff"] == diff
    assert "cut" not in whole["effect"]


async def test_an_approval_whose_asker_is_gone_becomes_a_grant_that_is_listed(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    outcome = Outcome(succeeded=False, reason=Reason.KILLED, lost=True)
    await record(rig, e.RunFinishing(task_id=task_id, run_id=run_id, outcome=outcome))
    await http.post(f"/inquiries/{inquiry_id}/answer", json={"decision": "allow"})
    (grant,) = (await http.get("/grants", params={"task": task_id})).json()["items"]
    assert (grant["inquiry_id"], grant["by"]) == (inquiry_id, "owner")
    assert (await http.get("/grants", params={"task": "task_" + "0" * 26})).json()["items"] == []


async def test_a_cancelled_task_asks_no_longer(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    why = "the agent no longer asks"
    withdrawn = e.InquiryWithdrawn(task_id=task_id, run_id=run_id, inquiry_id=InquiryId(inquiry_id), why=why)
    await record(rig, withdrawn)
    refused = await http.post(f"/inquiries/{inquiry_id}/answer", json={"decision": "allow"})
    assert error_of(refused) == (409, "conflict")
    assert why in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [{}, {"decision": "yes"}, {"decision": "allow", "by": "owner"}, {"decision": "deny", "reason": 3}]
)
async def test_an_answer_that_is_not_right_changes_nothing(
    rig: Serving, http: httpx.AsyncClient, body: dict[str, object]
) -> None:
    _, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    assert error_of(await http.post(f"/inquiries/{inquiry_id}/answer", json=body)) == (400, "invalid_request")
    assert (await http.get(f"/inquiries/{inquiry_id}")).json()["state"]["word"] == "open"


async def test_an_inquiry_that_is_not_there_is_404(http: httpx.AsyncClient) -> None:
    for path in (f"/inquiries/{ABSENT}", "/inquiries/rubbish", "/inquiries/task_" + "0" * 26):
        assert error_of(await http.get(path)) == (404, "not_found")
        answer = await http.post(f"{path}/answer", json={"decision": "allow"})
        assert error_of(answer) == (404, "not_found")
