"""`./podium` makes its environment once, survives being killed, and hands over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .conftest import Clone


def test_the_first_start_installs_and_hands_over_and_the_second_is_silent(any_clone: Clone) -> None:
    first = any_clone.start("run", "fix it", "--repo", ".")
    assert (first.returncode, first.stdout) == (7, any_clone.said("run fix it --repo ."))
    assert first.stderr.startswith("podium: installing runtime packages into .venv with ")
    second = any_clone.start()
    assert (second.returncode, second.stdout, second.stderr) == (7, any_clone.said(), "")
    assert any_clone.builds() == 1


def test_the_working_directory_stays_the_users_and_nothing_in_it_is_imported(
    clone: Clone, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "podium").mkdir(parents=True)
    (theirs / "podium" / "app.py").write_text("print('not ours')")
    assert clone.start("ps", cwd=theirs).stdout == f"app {theirs} ps\n"


def test_a_changed_lock_is_installed_by_the_next_start(clone: Clone) -> None:
    clone.start()
    (clone.root / "requirements" / "runtime.txt").write_text("# another\n")
    again = clone.start()
    assert again.returncode == 7
    assert "installing runtime" in again.stderr
    assert clone.builds() == 2


def test_a_clone_that_was_moved_gets_a_new_environment(clone: Clone) -> None:
    clone.start()
    moved = Clone(clone.root.with_name("moved"), clone.environment)
    shutil.move(clone.root, moved.root)
    started = moved.start()
    assert (started.returncode, started.stdout) == (7, moved.said())
    assert "installing runtime" in started.stderr


def test_an_environment_whose_python_is_gone_is_made_again(clone: Clone) -> None:
    clone.start()
    (clone.root / ".venv" / "bin" / "python").unlink()
    assert clone.start().returncode == 7


def test_a_start_killed_half_way_is_finished_by_the_next_one(any_clone: Clone) -> None:
    gate, opened = any_clone.root / "gate", any_clone.root / "gate.open"
    os.mkfifo(gate)
    os.mkfifo(opened)
    killed = any_clone.launch()
    gate.read_text()  # returns when the installer is in the middle of it
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    gate.unlink()
    following = any_clone.launch("ps")
    opened.write_text("go on")  # the orphaned installer still holds the start lock until here
    said, _progress = following.communicate(timeout=90)
    assert (following.returncode, said) == (7, any_clone.said("ps"))
    assert any_clone.builds() == 2


def test_of_two_starts_at_once_one_installs_and_both_arrive(clone: Clone) -> None:
    starts = [clone.launch(str(number)) for number in range(2)]
    said = [start.communicate(timeout=90)[0] for start in starts]
    assert said == [clone.said("0"), clone.said("1")]
    assert clone.builds() == 1


def test_what_cannot_be_installed_is_said_in_one_line_and_mended_by_the_next_start(clone: Clone) -> None:
    lock = clone.root / "requirements" / "runtime.txt"
    lock.write_text(f"nothing-like-this==1.0 --hash=sha256:{'0' * 64}\n")
    failed = clone.start()
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback" not in failed.stderr
    assert failed.stderr.splitlines()[-1].endswith("then run this again")
    lock.write_text("")
    assert clone.start().returncode == 7


def test_a_uv_that_does_not_run_is_passed_over(clone: Clone, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uv").write_text("#!/bin/sh\nexit 127\n")
    (broken / "uv").chmod(0o755)
    started = clone.start(PATH=f"{broken}:{clone.environment['PATH']}")
    assert started.returncode == 7
    assert "the uv on PATH does not run" in started.stderr


def test_commands_of_the_clone_need_the_second_lock_and_product_commands_do_not(clone: Clone) -> None:
    clone.start()
    assert not (clone.root / ".venv" / "podium-dev.stamp").exists()
    checked = clone.start("test", "unit")
    assert "installing dev packages" in checked.stderr
    assert checked.stderr.splitlines()[-1] == "podium: lane unit has no tests in this version; leave it out"
    assert checked.returncode == 1


def test_started_by_an_unsupported_python_it_finds_one_that_runs(clone: Clone, tmp_path: Path) -> None:
    script = clone.root / "podium"
    script.write_text(script.read_text().replace("((3, 13), (3, 12), (3, 11))", "((3, 99),)"))
    shim = tmp_path / "shims" / "python3.99"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    path = f"{shim.parent}:{clone.environment['PATH']}"
    alone = clone.start(PATH=path)
    assert alone.returncode == 1
    assert alone.stderr.startswith("podium: no Python 3.11, 3.12 or 3.13 found; install one")
    found = tmp_path / ".pyenv" / "versions" / "3.99.0" / "bin" / "python3"
    found.parent.mkdir(parents=True)
    found.write_text('#!/bin/sh\n[ "$1" = -I ] && echo 3.99 || echo "taken over: $@"\n')
    found.chmod(0o755)
    assert clone.start("up", PATH=path).stdout == f"taken over: {script} up\n"


def test_the_start_of_an_unchanged_clone_starts_no_other_process(clone: Clone) -> None:
    """What makes it fast; a process is 10 ms, the stamp 1 ms. Speed itself is not asserted."""
    clone.start()
    (clone.root / "tools" / "install.py").rename(clone.root / "tools" / "elsewhere.py")
    (clone.root / "tools" / "install.py").write_text("raise SystemExit('the slow path was taken')\n")
    stamp = clone.root / ".venv" / "podium-runtime.stamp"
    script = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path; from tools import bootstrap as b;"
    )
    script += "print(b.digest(Path.cwd(), Path.cwd() / 'requirements' / 'runtime.txt'), end='')"
    digest = subprocess.run([*clone.argv()[:1], "-c", script], cwd=clone.root, capture_output=True, text=True)
    stamp.write_text(digest.stdout)
    assert clone.start().returncode == 7
