"""The template: a warm, single-threaded process that gives birth to holders.

Standard library only. It owns nothing: a run directory and a report descriptor come in over a socket, a
holder that belongs to init goes out. One holder is always forked ahead and waits on the socket itself, so
that a launch does not wait for two forks. When the worker is gone the socket ends, and with it the waiting
holder and the template; the holders that have a run stay.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from podium.process import cgroup, holder

MAX_REQUEST = 8192
"""A request is the path of a run directory: one packet, with one descriptor attached."""
_WORKER_GONE = b"g"


def serve(channel_number: int) -> None:
    """Keep one holder waiting on the socket, until the other end of it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=channel_number)
    # What is warm now is shared with every holder; a collection in one of them would copy all of it.
    gc.disable()
    gc.freeze()
    groups = cgroup.find_parent()
    if groups:
        cgroup.tidy(groups)
    waiting = True
    while waiting:
        waiting = _offer_one_holder(channel, groups)


def _offer_one_holder(channel: socket.socket, groups: str) -> bool:
    """Have one holder wait for a run; returns when it got one (or died), False when the worker is gone."""
    taken, tell = os.pipe()
    try:
        between = os.fork()
        if not between:
            _fork_away(channel, tell, groups)
        os.close(tell)
        tell = -1
        _, status = os.waitpid(between, 0)
        if status:
            return _refuse(channel, "no process for a holder could be had")
        return os.read(taken, 1) != _WORKER_GONE
    except OSError as error:
        return _refuse(channel, str(error))
    finally:
        os.close(taken)
        if tell >= 0:
            os.close(tell)


def _fork_away(channel: socket.socket, tell: int, groups: str) -> None:
    """In the first child: fork again and end, so that the holder is nobody's child here. Never returns."""
    code = 1
    try:
        if os.fork():
            code = 0
        else:
            _wait_for_run(channel, tell, groups)
    finally:
        # Neither child may go on in the template's loop, whatever happened.
        os._exit(code)


def _wait_for_run(channel: socket.socket, tell: int, groups: str) -> None:
    wake = holder.get_ready({channel.fileno(), tell})
    leaf = cgroup.make_leaf(groups) if groups else ""
    try:
        _take_one_run(channel, tell, wake, leaf)
    finally:
        if leaf:
            cgroup.remove(leaf)


def _take_one_run(channel: socket.socket, tell: int, wake: int, leaf: str) -> None:
    request, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST, 1)
    if not request:
        os.write(tell, _WORKER_GONE)
        return
    # Nothing may connect a held run to template or worker. The pipe to the template lasts until the agent
    # exists: it would fork the next holder at once, and this launch would wait for the processor.
    channel.close()
    holder.hold(os.fsdecode(request), wake, descriptors[0], tell, leaf)


def _refuse(channel: socket.socket, reason: str) -> bool:
    """Tell the next caller why there is no holder, so that the one after gets another try."""
    request, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST, 1)
    for descriptor in descriptors:
        os.write(descriptor, f"error {reason}\n".encode())
        os.close(descriptor)
    return bool(request)
