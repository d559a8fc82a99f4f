"""House rules that no off-the-shelf linter knows: sizes, structured concurrency, purity, vocabulary.

Each rule is a pure function from one parsed file to findings; `findings` applies all of them to a tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

FILE_STOP = 500
FUNCTION_STOP = 70
FLAT = "store/migrations/versions/"
"""A migration is a list of statements that is never edited again; only its file has a stop."""

PURE_ROOMS = ("kernel", "engine")
RANDOMNESS_HOME = frozenset({"kernel/ids.py"})
"""The one place that may draw random bits: new ids are made there, or are passed in."""
CLOCKS = frozenset(
    {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    | {f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")}
)
RANDOM_MODULES = frozenset({"random", "secrets"})
RANDOM_CALLS = frozenset({"uuid1", "uuid4", "uuid7", "urandom"})

FOREIGN_WORDS = frozenset({"job", "jobs", "manager", "managers", "service", "services"})
"""Words of other systems; GLOSSARY.md has ours."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One broken rule; `path` is relative to the package."""

    rule: str
    path: str
    line: int
    detail: str

    def __str__(self) -> str:
        return f"src/podium/{self.path}:{self.line}: {self.rule}: {self.detail}"


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call with its dotted name and the last part of that; the last part is known for any receiver."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            last = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
            yield node, dotted(node.func), last


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def size(path: str, source: str, tree: ast.Module) -> Iterator[Finding]:
    """Files and functions stay readable in one sitting."""
    lines = source.count("\n")
    if lines > FILE_STOP:
        yield Finding(
            rule="size", path=path, line=FILE_STOP, detail=f"{lines} lines, the stop is {FILE_STOP}"
        )
    for function in functions(tree):
        if length(function) > FUNCTION_STOP and not path.startswith(FLAT):
            detail = f"{function.name} has {length(function)} lines, the stop is {FUNCTION_STOP}"
            yield Finding(rule="size", path=path, line=function.lineno, detail=detail)


THREAD_OWNERS = frozenset({"git/threads.py", "process/command.py"})
"""They wait for a thread whatever happens to their caller; a task group would be cancelled with it."""


def bare_tasks(path: str, _source: str, tree: ast.Module) -> Iterator[Finding]:
    """Whoever starts a task owns it: asyncio tasks are made through a task group opened in the same file."""
    if path in THREAD_OWNERS:
        return
    groups = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and "TaskGroup" in ast.dump(item.context_expr)
    }
    for node, name, last in calls(tree):
        owned = name.rpartition(".")[0] in groups
        if last in {"create_task", "ensure_future"} and not owned:
            yield Finding(
                rule="bare-task", path=path, line=node.lineno, detail=f"{name or last} outside a task group"
            )


def impurity(path: str, _source: str, tree: ast.Module) -> Iterator[Finding]:
    """Kernel and engine take time, randomness and ids as arguments."""
    if path.split("/")[0] not in PURE_ROOMS:
        return
    for node, name, last in calls(tree):
        tail = ".".join(name.split(".")[-2:])
        draws = name.split(".")[0] in RANDOM_MODULES or last in RANDOM_CALLS
        if tail in CLOCKS or (draws and path not in RANDOMNESS_HOME):
            yield Finding(
                rule="impure", path=path, line=node.lineno, detail=f"{name or last} must be an argument"
            )


def assigned_states(path: str, _source: str, tree: ast.Module) -> Iterator[Finding]:
    """A noun's state changes in the kernel's fold alone."""
    if path.startswith("kernel/"):
        return
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "state"
            and isinstance(node.ctx, ast.Store | ast.Del)
        ):
            yield Finding(
                rule="state", path=path, line=node.lineno, detail="a state is assigned outside the kernel"
            )
    for node, _name, last in calls(tree):
        given = {keyword.arg for keyword in node.keywords}
        # With an id of its own it is a new thing, which is born in some state, not an old one that moves.
        if last == "replace" and "state" in given and "id" not in given:
            yield Finding(
                rule="state", path=path, line=node.lineno, detail="a state is replaced outside the kernel"
            )


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that this file itself gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case _:
                pass


def foreign_words(path: str, _source: str, tree: ast.Module) -> Iterator[Finding]:
    """Our nouns have one name each; words that belong to other systems are not used beside them."""
    for name, line in defined_names(tree):
        parts = re.findall(r"[a-z]+", re.sub(r"([A-Z])", r" \1", name).lower())
        for word in FOREIGN_WORDS.intersection(parts):
            yield Finding(rule="word", path=path, line=line, detail=f"{name} says {word!r}; see GLOSSARY.md")


RULES = (size, bare_tasks, impurity, assigned_states, foreign_words)


def sources(package: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Each Python file under `package`: relative path, text, syntax tree."""
    for file in sorted(package.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        yield file.relative_to(package).as_posix(), text, ast.parse(text, filename=str(file))


def findings(package: Path) -> list[Finding]:
    """Everything in `package` that breaks a house rule, in the order of files."""
    return [
        found for path, text, tree in sources(package) for rule in RULES for found in rule(path, text, tree)
    ]


def sizes(package: Path) -> str:
    """One line with median and 90th percentile of file and function lengths."""
    parsed = list(sources(package))
    files = [text.count("\n") for _path, text, _tree in parsed]
    lengths = [length(function) for _path, _text, tree in parsed for function in functions(tree)]
    return f"files {len(files)}: {spread(files)}; functions {len(lengths)}: {spread(lengths)}"


def spread(values: list[int]) -> str:
    if not values:
        return "none"
    nine = quantiles(values, n=10, method="inclusive")[8] if len(values) > 1 else values[0]
    return f"median {median(values):.0f}, p90 {nine:.0f}, longest {max(values)} lines"
