"""Runs a task's checks in the workspace with the agent's environment; each has a verdict and its output."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from podium.kernel.errors import PodiumError, SpawnFailed
from podium.kernel.execution import Completed, Execute
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import Check, CheckResult
from podium.kernel.states import Verdict

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
StoreOutput = Callable[[str, bytes], Awaitable[ArtifactId]]
"""(name, bytes) → the artifact that keeps them."""


async def run_checks(
    checks: Sequence[Check],
    *,
    workspace: Path,
    env: Mapping[str, str],
    execute: Execute,
    store_output: StoreOutput,
) -> tuple[CheckResult, ...]:
    """One result for each check, in order; a check that fails does not stop the others."""
    return tuple(
        [
            await _run_check(check, workspace=workspace, env=env, execute=execute, store_output=store_output)
            for check in checks
        ]
    )


async def _run_check(
    check: Check, *, workspace: Path, env: Mapping[str, str], execute: Execute, store_output: StoreOutput
) -> CheckResult:
    began = time.monotonic()
    try:
        done = await execute(
            check.argv, cwd=workspace, env=env, timeout_s=check.timeout_s, limit_bytes=MAX_OUTPUT_BYTES
        )
    except SpawnFailed as error:
        return CheckResult(name=check.name, verdict=Verdict.CANNOT_TELL, detail=error.message)
    took = time.monotonic() - began
    output = await _keep(check, done, store_output)
    if done.timed_out:
        return CheckResult(
            name=check.name,
            verdict=Verdict.CANNOT_TELL,
            duration_s=took,
            detail=f"no end within {check.timeout_s:g} s; its process tree was killed",
            output=output,
        )
    return CheckResult(
        name=check.name,
        verdict=Verdict.PASS if done.code == 0 else Verdict.FAIL,
        exit_code=done.code,
        duration_s=took,
        detail="" if done.code == 0 else _last_line(done),
        output=output,
    )


async def _keep(check: Check, done: Completed, store_output: StoreOutput) -> ArtifactId | None:
    text = done.stdout + (b"\n--- stderr ---\n" + done.stderr if done.stderr else b"")
    if done.truncated:
        text += b"\n--- truncated ---\n"
    if not text:
        return None
    try:
        return await store_output(f"check-{check.name}.txt", text)
    except PodiumError:
        return None  # the verdict stands without its output; the exit code is what decides


def _last_line(done: Completed) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1].decode(errors="replace")[:300] if lines else ""
