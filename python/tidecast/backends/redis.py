"""A Redis URL: the engine's own Redis broker, two connections a process, whoever publishes or listens in it."""

from __future__ import annotations

import logging

from .._native import Engine
from .engine import EngineBackend

_logger = logging.getLogger("tidecast")

_backends: dict[tuple[str, str], RedisBackend] = {}


class RedisBackend(EngineBackend):
    """Events through a Redis."""

    reaches_other_processes = True


def reset() -> None:
    """Ends all of this process, and their streams."""
    while _backends:
        _backends.popitem()[1].engine.close()


def backend(url: str, plain_format: str) -> RedisBackend:
    """The one of this process for a Redis URL.

    :raises tidecast.errors.InvalidError: The URL can't be one.
    """
    key = (url, plain_format)
    if key not in _backends:
        made = RedisBackend(Engine(url, plain_format=plain_format))
        # In one step, and without a lock, which a fork might find taken. An engine that was made for nothing has opened
        # nothing.
        if _backends.setdefault(key, made) is made:
            for warning in made.engine.warnings:
                _logger.warning("Redis URL: %s", warning)
    return _backends[key]
