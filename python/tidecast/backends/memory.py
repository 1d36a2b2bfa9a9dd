"""The default backend: events stay in the memory of this process, and reach its streams."""

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
    """Events in the memory of this process."""

    reaches_other_processes = False

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publishes an event, and warns once if it seems meant for another process."""
        published = super().publish(channel, event, idempotency_key)
        if not published.receivers and self._has_no_reader_here():
            apps.warn_no_stream_here()
        return published

    def _has_no_reader_here(self) -> bool:
        """Returns whether this process has had no stream, and is the child of one that has, or works for another
        one."""
        if self.pid_of_streams == os.getpid() or apps.in_request():
            return False
        return self.pid_of_streams is not None or _is_child_process()


_BACKEND = MemoryBackend(Engine())


def reset() -> None:
    """Ends the streams in memory, and forgets the events."""
    _BACKEND.engine.close()


def backend() -> MemoryBackend:
    """Returns the backend of this process. All of its applications share the channels, as they would on a Redis."""
    return _BACKEND


def _is_child_process() -> bool:
    """Returns whether multiprocessing has started this process, or Celery's copy of it, billiard."""
    kinds = (sys.modules.get(name) for name in ("multiprocessing.process", "billiard.process"))
    return any(kind is not None and kind.current_process().name != "MainProcess" for kind in kinds)
