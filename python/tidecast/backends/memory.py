"""Nothing set: events live in this process' memory, and reach the streams of this process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .. import apps
from .._native import Engine, Published
from .engine import EngineBackend

if TYPE_CHECKING:
    from ..event import Event


class MemoryBackend(EngineBackend):
    """Events in this process' memory."""

    reaches_other_processes = False

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """See :class:`tidecast.backends.Backend`. Warns once if the event seems meant for another process, which it
        cannot reach."""
        published = super().publish(channel, event, idempotency_key)
        if not published.receivers and self._has_no_reader_here():
            apps.warn_no_stream_here()
        return published

    def _has_no_reader_here(self) -> bool:
        """Returns whether this process has had no stream, and was made by one that has, or to do work for another."""
        if self.pid_of_streams == os.getpid() or apps.in_request():
            return False
        return self.pid_of_streams is not None or _is_a_child()


_BACKEND = MemoryBackend(Engine())


def reset() -> None:
    """Ends its streams, and forgets its events."""
    _BACKEND.engine.close()


def backend() -> MemoryBackend:
    """The one of this process: channels are the same for all of its applications, as on a Redis."""
    return _BACKEND


def _is_a_child() -> bool:
    """Returns whether multiprocessing has made this process, or Celery, which has its own."""
    kinds = (sys.modules.get(name) for name in ("multiprocessing.process", "billiard.process"))
    return any(kind is not None and kind.current_process().name != "MainProcess" for kind in kinds)
