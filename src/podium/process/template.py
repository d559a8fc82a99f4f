"""The template: a warm, single-threaded process that forks holders in about a millisecond.

Standard library only. It owns nothing: a run directory and a report descriptor come in over a socket, a
holder that belongs to init goes out. When the worker is gone the socket ends and so does the template;
the holders stay.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from podium.process import holder

MAX_REQUEST = 8192
"""A request is the path of a run directory: one packet, with one descriptor attached."""


def serve(channel_number: int) -> None:
    """Fork a holder per request until the other end of the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=channel_number)
    # What is warm now is shared with every holder; a collection in one of them would copy all of it.
    gc.disable()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST, 1)
        if not request:
            return
        try:
            _fork_holder(os.fsdecode(request), descriptors[0])
        except OSError as error:
            os.write(descriptors[0], f"error {error}\n".encode())
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_holder(run_dir: str, report: int) -> None:
    """Fork twice, so that the holder is nobody's child here and is never waited on."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    code = 1
    try:
        if os.fork():
            code = 0
        else:
            holder.hold(run_dir, report)
            code = 0
    finally:
        # Neither child may return into the loop above, whatever happened.
        os._exit(code)
