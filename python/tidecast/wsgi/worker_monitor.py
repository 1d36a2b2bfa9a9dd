"""A watch over the process that serves streams: whether its server was told to stop, and which clients read nothing.

One thread of the process (under gevent or eventlet a greenlet) looks every half second, from the first stream on. It
knows only the streams that a server is writing to, so idle streams cost nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Protocol

from .._native import end_streams, end_streams_on_signal, streams_are_ending

#: How often the thread looks, in seconds.
INTERVAL_SECONDS = 0.5

#: How long a client that reads nothing may delay the end of a process that was told to stop, in seconds.
STOP_STALL_SECONDS = 2.0


class WritingPeer(Protocol):
    """A client that a server is writing to."""

    #: When the write began, by :func:`time.monotonic`.
    write_started_at: float

    #: How long the client may read nothing, in seconds; 0 for ever.
    stall_seconds: float

    def unsent_bytes(self) -> int | None:
        """Returns how many bytes the client has not received; ``None`` if unknown."""
        ...

    def hang_up(self) -> None:
        """Shuts the connection down, so that the server's write fails."""
        ...


class WorkerMonitor:
    """The watch over one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        #: The clients that the server is writing to.
        self.writing_peers: set[WritingPeer] = set()
        self._stopping_since: float | None = None
        # One handler for SIGTERM and SIGINT means that Ctrl+C stops the server in the same way.
        on_sigterm = signal.getsignal(signal.SIGTERM)
        if callable(on_sigterm) and signal.getsignal(signal.SIGINT) == on_sigterm:
            end_streams_on_signal(signal.SIGINT)
        # Only uWSGI's workers end at SIGHUP. Other servers reload their configuration.
        if "uwsgi" in sys.modules:
            end_streams_on_signal(signal.SIGHUP)
        # gunicorn's eventlet worker exits a tenth of a second after SIGQUIT, before the thread looks again.
        if "eventlet" in sys.modules:
            end_streams_on_signal(signal.SIGQUIT)
        threading.Thread(target=self._watch, name="tidecast-worker", daemon=True).start()

    def _watch(self) -> None:
        #: By client: when its write began, how many bytes were unsent, and since when both have not changed.
        stalled: dict[WritingPeer, tuple[float, int | None, float]] = {}
        while True:
            time.sleep(INTERVAL_SECONDS)
            if self._stopping_since is None and (_server_is_stopping() or streams_are_ending()):
                end_streams()
                self._stopping_since = time.monotonic()
            now = time.monotonic()
            before, stalled = stalled, {}
            # A copy, because other threads add to it.
            for peer in self.writing_peers.copy():
                write_started_at, unsent = peer.write_started_at, peer.unsent_bytes()
                known = before.get(peer)
                since = known[2] if known is not None and known[:2] == (write_started_at, unsent) else now
                stalled[peer] = (write_started_at, unsent, since)
                # With nothing unsent, the server waits for something else than this client.
                is_stalled = peer.stall_seconds and unsent != 0 and now >= since + peer.stall_seconds
                if is_stalled or self._delays_stop(write_started_at, now):
                    peer.hang_up()

    def _delays_stop(self, write_started_at: float, now: float) -> bool:
        since = self._stopping_since
        return since is not None and now >= max(write_started_at, since) + STOP_STALL_SECONDS


def current() -> WorkerMonitor:
    """Returns the watch over this process, which is started at the first call."""
    global _current
    known = _current
    if known is None or known.pid != os.getpid():
        known = _current = WorkerMonitor()
    return known


_current: WorkerMonitor | None = None


def _server_is_stopping() -> bool:
    """Returns whether the server of this process was told to stop, by whatever means.

    gunicorn's worker and uvicorn's server handle SIGTERM, and have a flag that says so.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "alive", None) is False or getattr(server, "should_exit", None) is True
