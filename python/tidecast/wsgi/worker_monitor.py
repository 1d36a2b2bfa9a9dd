"""The process that serves streams: whether it was told to go, and which of its clients take nothing.

One thread a process (under gevent or eventlet a greenlet) looks every half second, from the first stream on. It costs
streams that wait nothing: it knows only those whose server is writing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Protocol

from .._native import end_streams, end_streams_at, streams_are_ending

#: How often it looks, in seconds.
LOOK_EVERY = 0.5

#: How long a client that takes nothing may hold up a process that was told to go, in seconds.
LEAVE_SECONDS = 2.0


class Writer(Protocol):
    """A client of a stream that a server writes to."""

    #: When it was given the last piece, by the clock of :func:`time.monotonic`.
    given_at: float

    #: How long it may take nothing, in seconds; 0 is for ever.
    stall_seconds: float

    def unsent(self) -> int | None:
        """Returns how many bytes it has not taken; ``None`` if that is not known."""
        ...

    def hang_up(self) -> None:
        """Ends its connection, so that its server's write fails."""
        ...


class Worker:
    """What is known of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        #: Those that a server is writing to.
        self.writing: set[Writer] = set()
        self._was_told_at: float | None = None
        # A server that is ended by Ctrl+C as it is by SIGTERM says so by one handler for both.
        on_sigterm = signal.getsignal(signal.SIGTERM)
        if callable(on_sigterm) and signal.getsignal(signal.SIGINT) == on_sigterm:
            end_streams_at(signal.SIGINT)
        # Elsewhere it means something else, such as to read the configuration again.
        if "uwsgi" in sys.modules:
            end_streams_at(signal.SIGHUP)
        threading.Thread(target=self._watch, name="tidecast-worker", daemon=True).start()

    def _watch(self) -> None:
        #: Of those: when it was given the piece, how much of that was not taken, and since when.
        stalled: dict[Writer, tuple[float, int | None, float]] = {}
        while True:
            time.sleep(LOOK_EVERY)
            if self._was_told_at is None and (_is_leaving() or streams_are_ending()):
                end_streams()
                self._was_told_at = time.monotonic()
            now = time.monotonic()
            before, stalled = stalled, {}
            # Another thread may add one meanwhile.
            for writer in self.writing.copy():
                given_at, unsent = writer.given_at, writer.unsent()
                known = before.get(writer)
                since = known[2] if known is not None and known[:2] == (given_at, unsent) else now
                stalled[writer] = (given_at, unsent, since)
                # If it has taken everything, it is not what the server waits for.
                is_stalled = writer.stall_seconds and unsent != 0 and now >= since + writer.stall_seconds
                if is_stalled or self._holds_up(given_at, now):
                    writer.hang_up()

    def _holds_up(self, given_at: float, now: float) -> bool:
        return self._was_told_at is not None and now >= max(given_at, self._was_told_at) + LEAVE_SECONDS


def present() -> Worker:
    """Returns what is known of this process, from now on watched."""
    global _present
    known = _present
    if known is None or known.pid != os.getpid():
        known = _present = Worker()
    return known


_present: Worker | None = None


def _is_leaving() -> bool:
    """Returns whether the server of this process says that it was told to go, by whatever did.

    gunicorn's worker and uvicorn's server have a flag for it, and are what handles SIGTERM.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "alive", None) is False or getattr(server, "should_exit", None) is True
