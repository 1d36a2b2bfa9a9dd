"""Nothing set: events live in this process' memory, and reach the streams of this process."""

from __future__ import annotations

from .._native import Engine
from .engine import EngineMode


class MemoryMode(EngineMode):
    """Events in this process' memory."""

    crosses_processes = False


_MODE = MemoryMode(Engine())


def reset() -> None:
    """Ends its streams, and forgets its events."""
    _MODE.engine.close()


def mode() -> MemoryMode:
    """The one of this process: channels are the same for all of its applications, as on a Redis."""
    return _MODE
