"""The script: steps with ids, checked completely before the first one is played."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MAX_SCRIPT_BYTES = 16 * 1024 * 1024

TEXT, COUNT, NUMBER, WORDS, LISTS = (
    "a string",
    "a count",
    "a number",
    "a list of strings",
    "a list of lists of strings",
)

KINDS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    # kind: (required fields, optional fields)
    "say": ({"text": TEXT}, {}),
    "think": ({"text": TEXT}, {}),
    "usage": ({"input_tokens": COUNT, "output_tokens": COUNT}, {"cost_usd": NUMBER}),
    "edit": ({"path": TEXT}, {"write": TEXT, "old": TEXT, "new": TEXT}),
    "run": ({"argv": WORDS}, {"timeout_s": NUMBER, "expect_code": COUNT}),
    "commit": ({"message": TEXT}, {}),
    "ask": ({"command": TEXT}, {"why": TEXT}),
    "listen": ({}, {"count": COUNT}),
    "fail": ({"message": TEXT}, {"error_class": TEXT}),
    "hang": ({}, {"ignore": WORDS}),
    "wait": ({}, {"file": TEXT, "duration_ms": COUNT}),
    "flood": (
        {"kind": TEXT},
        {"stream": TEXT, "lines": COUNT, "bytes_per_line": COUNT, "bytes": COUNT, "depth": COUNT},
    ),
    "fork": ({}, {"children": LISTS, "seconds": COUNT}),
}
CHOICES = {
    ("flood", "kind"): frozenset({"lines", "says", "line", "binary", "invalid_utf8", "deep_json"}),
    ("flood", "stream"): frozenset({"stdout", "stderr"}),
    ("hang", "ignore"): frozenset({"term", "eof", "interrupt"}),
    ("fork", "children"): frozenset({"double_fork", "setsid", "clean_env", "ignore_term", "close_fds"}),
}


class BadScript(Exception):
    """The script cannot be played; the message says which step and why."""


class Step(NamedTuple):
    """One thing to do. `fields` holds exactly what KINDS allows for `do`."""

    id: str
    do: str
    fields: dict[str, Any]


class Done(NamedTuple):
    """What became of a step."""

    output: str
    is_error: bool = False
    fatal: bool = False
    """Ends the script: later steps would build on what is not there."""
    ended: bool = True
    """False when stdin cut it short; it is played again when the session goes on."""


def is_a(kind: str, value: object) -> bool:
    """Whether a JSON value is what a field asks for."""
    if kind == TEXT:
        return isinstance(value, str)
    if kind == COUNT:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if kind == WORDS:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    return isinstance(value, list) and all(is_a(WORDS, words) for words in value)


def words_in(value: object) -> list[str]:
    """Every string inside a value of KINDS."""
    if isinstance(value, list):
        return [word for part in value for word in words_in(part)]
    return [value] if isinstance(value, str) else []


def check_together(step: Step) -> None:
    """Rules between the fields of one step. Raises BadScript."""
    has = set(step.fields)
    if step.do == "edit" and has not in ({"path", "write"}, {"path", "old", "new"}):
        raise BadScript(f"step {step.id}: edit takes either write, or old and new")
    if step.do == "wait" and len(has) != 1:
        raise BadScript(f"step {step.id}: wait takes either file or duration_ms")
    if step.do == "run" and not step.fields["argv"]:
        raise BadScript(f"step {step.id}: argv is empty")


def step_from(raw: object, number: int) -> Step:
    """One step of the script, or BadScript."""
    if not isinstance(raw, dict):
        raise BadScript(f"step number {number} is not an object")
    name, do = raw.get("id"), raw.get("do")
    if not (isinstance(name, str) and name and name.isprintable() and " " not in name):
        raise BadScript(f"step number {number} needs an id without spaces")
    if not isinstance(do, str) or do not in KINDS:
        raise BadScript(f"step {name}: unknown do {do!r}; known: {', '.join(KINDS)}")
    required, optional = KINDS[do]
    fields = {key: value for key, value in raw.items() if key not in {"id", "do"}}
    if missing := sorted(required.keys() - fields.keys()):
        raise BadScript(f"step {name}: {missing[0]} is missing")
    for key, value in fields.items():
        kind = required.get(key) or optional.get(key)
        if kind is None:
            raise BadScript(f"step {name}: {do} has no field {key!r}")
        if not is_a(kind, value):
            raise BadScript(f"step {name}: {key} must be {kind}")
        allowed = CHOICES.get((do, key))
        if wrong := [word for word in words_in(value) if allowed is not None and word not in allowed]:
            raise BadScript(
                f"step {name}: {key} cannot be {wrong[0]!r}; known: {', '.join(sorted(allowed or ()))}"
            )
    step = Step(name, do, fields)
    check_together(step)
    return step


def load(path: str) -> list[Step]:
    """Read and check the script file. Raises BadScript."""
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(MAX_SCRIPT_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise BadScript(f"cannot read the script {path!r}: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), list):
        raise BadScript('the script must be {"steps": [...]}')
    steps = [step_from(part, number) for number, part in enumerate(raw["steps"], 1)]
    names = [step.id for step in steps]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadScript(f"two steps have the id {twice[0]}")
    return steps
