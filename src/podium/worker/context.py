"""What all attempts of a worker share."""

from __future__ import annotations

from msgspec import Struct

from podium.bus.base import WorkerBus
from podium.git.command import Git
from podium.kernel.clock import Clock
from podium.kernel.execution import Execute
from podium.process.launcher import Launcher
from podium.worker.home import WorkerHome
from podium.worker.ports import Download, Upload, WorkerSettings
from podium.worker.report import Reporter
from podium.worker.watching import Watching


class WorkerContext(Struct, frozen=True, kw_only=True):
    settings: WorkerSettings
    home: WorkerHome
    bus: WorkerBus
    reporter: Reporter
    launcher: Launcher
    watching: Watching
    git: Git
    execute: Execute
    upload: Upload
    download: Download
    clock: Clock
