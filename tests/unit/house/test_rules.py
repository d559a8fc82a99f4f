"""The house rules hold for our own source, and each of them can fail."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools import house

PACKAGE = Path(__file__).resolve().parents[3] / "src" / "podium"


def broken(path: str, source: str) -> list[str]:
    """The rules that this source breaks when it stands at this place of the package."""
    tree = ast.parse(source)
    return [found.rule for rule in house.RULES for found in rule(path, source, tree)]


def test_our_own_source_keeps_the_house_rules(capsys: pytest.CaptureFixture[str]) -> None:
    print(house.sizes(PACKAGE))
    assert [str(finding) for finding in house.findings(PACKAGE)] == []


def test_a_file_of_501_lines_is_too_long() -> None:
    assert broken("worker/long.py", "x = 1\n" * 500) == []
    assert broken("worker/long.py", "x = 1\n" * 501) == ["size"]


def test_a_function_of_71_lines_is_too_long() -> None:
    assert broken("worker/long.py", "def f():\n" + "    x = 1\n" * 69) == []
    assert broken("worker/long.py", "def f():\n" + "    x = 1\n" * 70) == ["size"]


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.create_task(work())",
        "create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "asyncio.ensure_future(work())",
    ],
)
def test_a_task_that_nobody_owns_is_refused_anywhere(source: str) -> None:
    assert broken("gateway/stream.py", source) == ["bare-task"]


def test_a_task_started_in_a_task_group_is_fine() -> None:
    source = (
        "async def f():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(work())\n"
    )
    assert broken("gateway/stream.py", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "time.time()",
        "time.monotonic()",
        "uuid.uuid4()",
        "uuid4()",
        "random.random()",
        "secrets.token_hex(8)",
        "os.urandom(8)",
    ],
)
@pytest.mark.parametrize("room", ["kernel", "engine"])
def test_kernel_and_engine_may_not_read_a_clock_or_roll_dice(room: str, source: str) -> None:
    assert broken(f"{room}/dispatch.py", source) == ["impure"]
    assert broken("process/clock.py", source) == []


def test_ids_are_the_one_place_in_the_kernel_that_draws_random_bits() -> None:
    assert broken("kernel/ids.py", "secrets.token_bytes(10)") == []
    assert broken("kernel/ids.py", "time.time()") == ["impure"]


@pytest.mark.parametrize(
    "source",
    [
        "run.state = 'lost'",
        "run.state: str = 'lost'",
        "self.run.state += 'x'",
        "del run.state",
        "replace(run, state=1)",
    ],
)
def test_a_state_changes_in_the_kernel_alone(source: str) -> None:
    assert broken("engine/lease.py", source) == ["state"]
    assert broken("kernel/run.py", source) == []


def test_a_copy_with_a_new_id_is_born_in_its_state() -> None:
    assert broken("engine/commands.py", "replace(task, id=new, state=queued)") == []


def test_a_migration_may_be_one_long_list() -> None:
    source = "def upgrade():\n" + "    x = 1\n" * 100
    assert broken("store/migrations/versions/v0001.py", source) == []
    assert broken("store/schema.py", source) == ["size"]


def test_reading_a_state_is_fine() -> None:
    assert broken("engine/lease.py", "if run.state == 'lost': app.state.writer = 1") == []


@pytest.mark.parametrize(
    "source",
    [
        "class RunManager: pass",
        "def start_job(): pass",
        "service = 1",
        "def f(jobs): pass",
        "self.jobQueue = 1",
    ],
)
def test_words_of_other_systems_do_not_name_our_things(source: str) -> None:
    assert broken("engine/dispatch.py", source) == ["word"]


def test_other_peoples_names_may_be_used_but_not_defined() -> None:
    assert broken("worker/run.py", "systemd.service.start(manager=None)") == []


def test_a_finding_says_where_it_is() -> None:
    source = "x = 1\nasyncio.create_task(work())\n"
    [finding] = house.bare_tasks("bus/base.py", source, ast.parse(source))
    assert str(finding).startswith("src/podium/bus/base.py:2: bare-task: ")


def test_sizes_are_summed_up_in_one_line(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"f{number}.py").write_text("x = 1\n" * number)
    assert house.sizes(tmp_path).startswith("files 11: median 6, p90 10, longest 11 lines; functions 0: none")
