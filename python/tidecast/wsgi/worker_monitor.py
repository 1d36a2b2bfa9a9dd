"""The process that serves streams: whether it was told to go, and which of its clients take nothing.

One thread a process (under gevent or eventlet a greenlet) looks every half second, from the first stream on. It costs
streams that wait nothing: it knows only those whose server is writing_peers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Protocol

from .._native import end_streams, end_streams_on_signal, streams_are_ending

#: How often it looks, in seconds.
INTERVAL_SECONDS = 0.5

#: How long a client that takes nothing may hold up a process that was told to go, in seconds.
STOP_STALL_SECONDS = 2.0


class WritingPeer(Protocol):
    """A client of a stream that a server writes to."""

    #: When it was given the last piece, by the clock of :func:`time.monotonic`.
    write_started_at: float

    #: How long it may take nothing, in seconds; 0 is for ever.
    stall_seconds: float

    def unsent_bytes(self) -> int | None:
        """Returns how many bytes it has not taken; ``None`` if that is not known."""
        ...

    def hang_up(self) -> None:
        """Ends its connection, so that its server's write fails."""
        ...


class WorkerMonitor:
    """What is known of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        #: Those that a server is writing_peers to.
        self.writing_peers: set[WritingPeer] = set()
        self._stopping_since: float | None = None
        # A server that is ended by Ctrl+C as it is by SIGTERM says so by one handler for both.
        on_sigterm = signal.getsignal(signal.SIGTERM)
        if callable(on_sigterm) and signal.getsignal(signal.SIGINT) == on_sigterm:
            end_streams_on_signal(signal.SIGINT)
        # Redirect it means something else, such as to read the configuration again.
        if "uwsgi" in sys.modules:
            end_streams_on_signal(signal.SIGHUP)
        threading.Thread(target=self._watch, name="tidecast-worker", daemon=True).start()

    def _watch(self) -> None:
        #: Of those: when it was given the piece, how much of that was not taken, and since when.
        stalled: dict[WritingPeer, tuple[float, int | None, float]] = {}
        while True:
            time.sleep(INTERVAL_SECONDS)
            if self._stopping_since is None and (_server_is_stopping() or streams_are_ending()):
                end_streams()
                self._stopping_since = time.monotonic()
            now = time.monotonic()
            before, stalled = stalled, {}
            # Another thread may add one meanwhile.
            for peer in self.writing_peers.copy():
                write_started_at, unsent = peer.write_started_at, peer.unsent_bytes()
                known = before.get(peer)
                since = known[2] if known is not None and known[:2] == (write_started_at, unsent) else now
                stalled[peer] = (write_started_at, unsent, since)
                # If it has taken everything, it is not what the server waits for.
                is_stalled = peer.stall_seconds and unsent != 0 and now >= since + peer.stall_seconds
                if is_stalled or self._delays_stop(write_started_at, now):
                    peer.hang_up()

    def _delays_stop(self, write_started_at: float, now: float) -> bool:
        return (
            self._stopping_since is not None and now >= max(write_started_at, self._stopping_since) + STOP_STALL_SECONDS
        )


def current() -> WorkerMonitor:
    """Returns what is known of this process, from now on watched."""
    global _current
    known = _current
    if known is None or known.pid != os.getpid():
        known = _current = WorkerMonitor()
    return known


_current: WorkerMonitor | None = None


def _server_is_stopping() -> bool:
    """Returns whether the server of this process says that it was told to go, by whatever did.

    gunicorn's worker and uvicorn's server have a flag for it, and are what handles SIGTERM.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "alive", None) is False or getattr(server, "should_exit", None) is True
