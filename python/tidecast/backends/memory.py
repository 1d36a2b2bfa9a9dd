"""Nothing set: events live in this process' memory, and reach the streams of this process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .. import apps
from .._native import Engine, Published
from .engine import EngineMode

if TYPE_CHECKING:
    from ..event import Event


class MemoryMode(EngineMode):
    """Events in this process' memory."""

    crosses_processes = False

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """See :class:`tidecast.backends.Mode`. An event that no process but this one has is told in the log, once, if
        it looks as if it was meant for another one."""
        published = super().publish(channel, event, idempotency_key)
        if not published.receivers and self._is_elsewhere():
            apps.warn_of_other_process()
        return published

    def _is_elsewhere(self) -> bool:
        """Returns whether this process has had no stream, and was made by one that has, or to do work for another."""
        if self.pid_of_streams == os.getpid() or apps.serves_a_request():
            return False
        return self.pid_of_streams is not None or _is_a_child()


_MODE = MemoryMode(Engine())


def reset() -> None:
    """Ends its streams, and forgets its events."""
    _MODE.engine.close()


def mode() -> MemoryMode:
    """The one of this process: channels are the same for all of its applications, as on a Redis."""
    return _MODE


def _is_a_child() -> bool:
    """Returns whether multiprocessing has made this process, or Celery, which has its own."""
    kinds = (sys.modules.get(name) for name in ("multiprocessing.process", "billiard.process"))
    return any(kind is not None and kind.current_process().name != "MainProcess" for kind in kinds)
