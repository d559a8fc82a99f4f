"""What the API's document shows as examples: made of the structs themselves, so that none is out of date."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from podium.engine.commands import AddProject, CheckBody, DefineAgent, OpenTask
from podium.engine.inbox import AnswerInquiry
from podium.engine.talk import SendMessage
from podium.kernel import nouns
from podium.kernel.access import Kind, MakeToken, Token, Verb
from podium.kernel.ids import (
    ArtifactId,
    ChangeId,
    InquiryId,
    MessageId,
    ProjectId,
    RunId,
    TaskId,
    TokenId,
)
from podium.kernel.inquiry import Decision, EffectKind, Inquiry, Risk, effect_of
from podium.kernel.session import Message, Mode
from podium.kernel.states import (
    ChangeState,
    Evidence,
    InquiryState,
    MessageState,
    RunState,
    State,
    TaskState,
    Verdict,
    Word,
)

AT = datetime(2026, 11, 28, 9, 30, 0, 250_000, tzinfo=UTC)
_ULID = "01m8gnyg61kg76ay99fn6ssbqm"
TASK, RUN = TaskId(f"task_{_ULID}"), RunId(f"run_{_ULID}")
PROJECT, CHANGE = ProjectId(f"project_{_ULID}"), ChangeId(f"change_{_ULID}")
BUNDLE = ArtifactId("artifact_2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
COMMIT = "52937f924be82ca0f1b902a5bc2cbe2390baf6e0"


def _state(word: Word, reason: str = "", by: str = "engine") -> State[Word]:
    evidence = Evidence(source=by, seq=4_711, at=AT)
    return State(word=word, reason=reason, since=AT, evidence=evidence)


_CHECK = nouns.Check(name="tests", argv=("pytest", "-q"))
_ASKED = CheckBody(name="tests", argv=("pytest", "-q"))
_PASSED = nouns.CheckResult(name="tests", verdict=Verdict.PASS, exit_code=0, duration_s=1.25)
_AGENT = nouns.Agent(name="claude", harness="claude_code")
_EFFECT = effect_of(
    "Bash", EffectKind.COMMAND, given={"command": "make clean"}, command="make clean", cwd="/w"
)

BODIES: tuple[Struct, ...] = (
    OpenTask(prompt="Make the failing test pass.", project="shop", checks=(_ASKED,)),
    SendMessage(text="Leave the public names as they are."),
    AnswerInquiry(decision=Decision.DENY, reason="use the test database"),
    AddProject(name="shop", repository="https://git.example.org/shop.git", target="main", checks=(_ASKED,)),
    DefineAgent(harness="claude_code", permissions=nouns.Permissions.ASK),
    MakeToken(name="night-shift", kind=Kind.OPERATOR, projects=("shop",), expires_in_s=86_400.0),
)
NOUNS: tuple[Struct, ...] = (
    nouns.Task(
        id=TASK, project_id=PROJECT, title="Make the failing test pass.", source=nouns.Source.API,
        agent="claude", repository="https://git.example.org/shop.git", checks=(_CHECK,), run_id=RUN,
        change_id=CHANGE, created_at=AT, state=_state(TaskState.DONE), status=_state("review"),
    ),
    nouns.Run(
        id=RUN, task_id=TASK, project_id=PROJECT, agent=_AGENT, workspace_of=RUN, fence=1, isolation="bare",
        branch="podium/sbqm-make-the-failing", base_commit=COMMIT, created_at=AT, started_at=AT, ended_at=AT,
        state=_state(RunState.SUCCEEDED, "completed"),
        outcome=nouns.Outcome(succeeded=True, reason=nouns.Reason.COMPLETED, exit_code=0),
    ),
    nouns.Change(
        id=CHANGE, task_id=TASK, run_id=RUN, project_id=PROJECT, title="Make the failing test pass.",
        repository="https://git.example.org/shop.git", branch="podium/sbqm-make-the-failing", base=COMMIT,
        tip="9c1185a5c5e9fc54612808977ee8f548b2258d31", commits=1, files=2, additions=12, deletions=3,
        bundle=BUNDLE, checks=(_PASSED,), created_at=AT, state=_state(ChangeState.PROPOSED),
    ),
    Inquiry(
        id=InquiryId(f"inquiry_{_ULID}"), task_id=TASK, run_id=RUN, agent="claude",
        title="Make the failing test pass.", effect=_EFFECT, why="to build afresh", risk=Risk.MEDIUM,
        reply_token="4b1c", expires_at=AT, created_at=AT, state=_state(InquiryState.OPEN),  # noqa: S106
    ),
    Message(
        id=MessageId(f"message_{_ULID}"), task_id=TASK, run_id=RUN, text="Leave the public names.",
        mode=Mode.STEER, by="owner", created_at=AT, state=_state(MessageState.COMPLETED),
    ),
    nouns.Project(
        id=PROJECT, name="shop", repository="https://git.example.org/shop.git", target="main", created_at=AT
    ),
    nouns.Artifact(id=BUNDLE, size=5, media_type="text/plain", name="hello.txt", created_at=AT),
    Token(
        id=TokenId(f"token_{_ULID}"), name="night-shift", kind=Kind.OPERATOR,
        verbs=(Verb.READ, Verb.WORK), projects=(PROJECT,), by="owner", depth=1, created_at=AT,
    ),
    _AGENT,
)  # fmt: skip
ERROR = {
    "error": {
        "code": "not_found",
        "message": f"there is no task {TASK}",
        "hint": "list them with: podium tasks list",
        "details": {},
    }
}


def samples() -> dict[str, Any]:
    """Name of a schema → an example of it, as plain JSON data."""
    found = {type(one).__name__: msgspec.json.decode(msgspec.json.encode(one)) for one in (*BODIES, *NOUNS)}
    for kind in BODIES:
        # What somebody would send: without what may be left out.
        name = type(kind).__name__
        defaults = {field.name: field.default for field in msgspec.structs.fields(type(kind))}
        found[name] = {
            key: value for key, value in found[name].items() if getattr(kind, key) != defaults.get(key)
        }
    return found | {"ErrorAnswer": ERROR}
