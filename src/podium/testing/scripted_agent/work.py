"""Steps that do honest work in the workspace: edit, run, commit."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from podium.testing.scripted_agent.script import Done, Step
from podium.testing.scripted_agent.wire import Inbox

OUTPUT_LIMIT_BYTES = 64 * 1024
DEFAULT_RUN_TIMEOUT_S = 600.0
GIT_TIMEOUT_S = 120
LOG_DEPTH = 1000
NO_PIDFD_SLICE_S = 0.02


def edit(step: Step, _again: bool, _inbox: Inbox, _session: str) -> Done:
    """Write a file, or replace one text by another in it. An edit that is already there is done.

    The path must stay inside the working directory, also through symlinks; otherwise nothing is touched.
    """
    root = Path.cwd().resolve()
    target = (root / step.fields["path"]).resolve()
    if target == root or not target.is_relative_to(root):
        return Done(f"{step.fields['path']} is outside of the workspace", is_error=True, fatal=True)
    try:
        before = target.read_text(encoding="utf-8") if target.exists() else None
        if "write" in step.fields:
            after = step.fields["write"]
        else:
            old, new = step.fields["old"], step.fields["new"]
            if before is not None and old not in before and new in before:
                return Done("already so")
            if before is None or old not in before:
                return Done(f"{step.fields['path']} does not contain the old text", is_error=True, fatal=True)
            after = before.replace(old, new, 1)
        if after == before:
            return Done("already so")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(after, encoding="utf-8")
        if before is not None:
            partial.chmod(target.stat().st_mode & 0o7777)
        partial.replace(target)  # a kill leaves the old file or the new one, never half of it
    except (OSError, UnicodeDecodeError) as error:
        return Done(f"cannot edit {step.fields['path']}: {error}", is_error=True, fatal=True)
    return Done(f"wrote {len(after.encode())} bytes")


def run(step: Step, _again: bool, inbox: Inbox, _session: str) -> Done:
    """Run a program in the workspace; its group is killed at the timeout and at an interrupt.

    A failing program is an error that the script survives, unless `expect_code` says otherwise.
    """
    limit = float(step.fields.get("timeout_s", DEFAULT_RUN_TIMEOUT_S))
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                step.fields["argv"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Done(f"cannot run {step.fields['argv'][0]}: {error.strerror}", is_error=True, fatal=True)
        why = attend(child, inbox, limit)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - OUTPUT_LIMIT_BYTES))
        text = output.read().decode(errors="replace")
    cut = f"[{size - OUTPUT_LIMIT_BYTES} bytes cut]\n" if size > OUTPUT_LIMIT_BYTES else ""
    expected = step.fields.get("expect_code")
    surprise = expected is not None and child.returncode != expected
    ending = why or f"exit code {child.returncode}"
    ended = not (why and inbox.interrupted)
    is_error = bool(why) or child.returncode != 0
    return Done(f"{cut}{text}{ending}", is_error=is_error, fatal=surprise and ended, ended=ended)


def attend(child: subprocess.Popen[bytes], inbox: Inbox, limit_s: float) -> str:
    """Wait for the child's end; kills its group when the time is over or we are interrupted, and says so."""
    deadline = time.monotonic() + limit_s
    handle = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else None
    try:
        while child.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0 or inbox.interrupted:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return "interrupted" if inbox.interrupted else f"killed after {limit_s:g} s"
            inbox.listen(left if handle is not None else min(left, NO_PIDFD_SLICE_S), other=handle)
    finally:
        if handle is not None:
            os.close(handle)
    return ""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GIT_TIMEOUT_S,
    )


def identity() -> list[str]:
    """Options that name an author where the workspace names none."""
    if git("config", "user.email").returncode == 0:
        return []
    return ["-c", "user.name=Scripted agent", "-c", "user.email=agent@podium.invalid"]


def is_committed(trailers: str) -> bool:
    """Whether a recent commit carries our trailers: the proof that a begun commit step was done."""
    log = git("log", f"-{LOG_DEPTH}", "--format=%B%x00")
    return any(message.rstrip().endswith(trailers) for message in log.stdout.split("\0"))


def drop_stale_locks() -> None:
    """Remove lock files of a git that died with our predecessor; nobody else works in this workspace."""
    folder = Path(git("rev-parse", "--git-dir").stdout.strip() or ".git")
    for lock in (*folder.glob("*.lock"), *folder.glob("refs/heads/**/*.lock")):
        lock.unlink(missing_ok=True)


def commit(step: Step, again: bool, _inbox: Inbox, session: str) -> Done:
    """Commit everything in the workspace with trailers that name session and step."""
    trailers = f"Podium-Session: {session}\nPodium-Step: {step.id}"
    try:
        if again:
            if is_committed(trailers):
                return Done("already committed")
            drop_stale_locks()
        added = git("add", "-A")
        if added.returncode != 0:
            return Done(added.stderr, is_error=True, fatal=True)
        if git("diff", "--cached", "--quiet").returncode == 0:
            return Done("nothing to commit")
        message = f"{step.fields['message']}\n\n{trailers}\n"
        made = git(*identity(), "commit", "--quiet", "--no-gpg-sign", "--cleanup=verbatim", "-m", message)
        if made.returncode != 0:
            return Done(made.stdout + made.stderr, is_error=True, fatal=True)
        return Done(git("rev-parse", "HEAD").stdout.strip())
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(f"git: {error}", is_error=True, fatal=True)


TOOLS: dict[str, Callable[[Step, bool, Inbox, str], Done]] = {"edit": edit, "run": run, "commit": commit}
"""Each takes the step, whether it was begun before, stdin, and the session."""
