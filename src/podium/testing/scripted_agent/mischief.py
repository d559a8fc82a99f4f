"""Steps that behave as badly as real agents do: hang, flood, leave children behind. Also: wait."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator

from podium.testing.scripted_agent.script import Step
from podium.testing.scripted_agent.wire import Inbox, write_all

PIECE_BYTES = 64 * 1024
FILE_LOOK_S = 0.01
DEFAULT_CHILD_SECONDS = 300
DEFAULT_CHILDREN: list[list[str]] = [
    [],
    ["setsid"],
    ["double_fork", "setsid"],
    ["clean_env"],
    ["ignore_term"],
    ["double_fork", "setsid", "clean_env", "ignore_term", "close_fds"],
]
SLEEPER = "import signal,sys; {0}; signal.alarm(int(sys.argv[1])); signal.pause()"


def close_ways_out(step: Step) -> None:
    """Make the process deaf to TERM where a hang asks for that."""
    if "term" in step.fields.get("ignore", ()):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hang(step: Step, inbox: Inbox) -> None:
    """Do nothing until stdin ends, an interrupt comes, or a signal kills; `ignore` removes ways out."""
    ignored = set(step.fields.get("ignore", ()))
    while True:
        if (inbox.eof and "eof" not in ignored) or (inbox.interrupted and "interrupt" not in ignored):
            return
        if inbox.eof:
            signal.pause()
        else:
            inbox.listen(None)


def wait(step: Step, inbox: Inbox) -> bool:
    """Wait for a time or for a file to appear; False when stdin stopped us before."""
    if "duration_ms" in step.fields:
        return inbox.listen_until(time.monotonic() + step.fields["duration_ms"] / 1000)
    # The standard library has no file notification, so this one looks again and again.
    while not os.path.exists(step.fields["file"]):
        if inbox.stopped:
            return False
        inbox.listen(FILE_LOOK_S)
    return True


def flood(step: Step) -> None:
    """Write what a decoder fears, in pieces, never holding more than one of them."""
    descriptor = 2 if step.fields.get("stream") == "stderr" else 1
    for piece in torrent(step):
        write_all(piece, descriptor)


def torrent(step: Step) -> Iterator[bytes]:
    """The bytes of a flood; sizes count what is written, line ends apart."""
    total = int(step.fields.get("bytes", 1024 * 1024))
    width = int(step.fields.get("bytes_per_line", 10))
    match step.fields["kind"]:
        case "lines":
            line = b"x" * width + b"\n"
            yield from repeated(line, step.fields.get("lines", 1000))
        case "says":
            line = json.dumps({"type": "say", "text": "x" * width}).encode() + b"\n"
            yield from repeated(line, step.fields.get("lines", 1000))
        case "line":
            yield from repeated(b"x", total)
            yield b"\n"
        case "binary":
            yield from repeated(bytes(range(256)), total // 256)
            yield b"\n"
        case "invalid_utf8":
            yield from repeated(
                b'{"type":"say","text":"\xff\xfe\xc3\x28 \xed\xa0\x80"}\n', step.fields.get("lines", 1)
            )
        case "deep_json":
            depth = int(step.fields.get("depth", 100_000))
            yield from repeated(b"[", depth)
            yield from repeated(b"]", depth)
            yield b"\n"


def repeated(unit: bytes, times: int) -> Iterator[bytes]:
    """`unit` so many times, gathered into pieces of a useful size."""
    per_piece = max(1, PIECE_BYTES // max(1, len(unit)))
    whole, rest = divmod(times, per_piece)
    piece = unit * per_piece
    for _ in range(whole):
        yield piece
    if rest:
        yield unit * rest


def fork(step: Step) -> list[int]:
    """Leave sleeping children behind, one per list of traits; returns their pids.

    They end by themselves after `seconds`, so that a failing test does not leave them for ever.
    """
    seconds = int(step.fields.get("seconds", DEFAULT_CHILD_SECONDS))
    return [leave_behind(set(traits), seconds) for traits in step.fields.get("children", DEFAULT_CHILDREN)]


def leave_behind(traits: set[str], seconds: int) -> int:
    """Start one child; returns the pid of the process that stays, once it is in place."""
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            become_child(traits, seconds, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        pid = int(report.read() or b"0")
    if "double_fork" in traits:
        os.waitpid(first, 0)
    return pid


def become_child(traits: set[str], seconds: int, report: int) -> None:
    """In the child: take on the traits, report the pid, turn into the sleeper. Does not return."""
    if "setsid" in traits:
        os.setsid()
    if "double_fork" in traits and os.fork() != 0:
        os._exit(0)
    os.write(report, str(os.getpid()).encode())
    # The report end closes by exec (it is not inheritable), so that the parent's read returns when the
    # sleeper runs, except that `close_fds` does so a moment earlier.
    if "close_fds" in traits:
        os.closerange(0, 64)
    ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if "ignore_term" in traits else "pass"
    if "ignore_term" in traits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # already before exec: no moment in which TERM works
    argv = [sys.executable, "-I", "-S", "-c", SLEEPER.format(ignoring), str(seconds)]
    os.execve(sys.executable, argv, {} if "clean_env" in traits else dict(os.environ))
