"""The backend of a Redis URL: the engine's own Redis broker, with two connections for each process."""

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
    """Closes the Redis backends of this process, and ends their streams."""
    while _backends:
        _backends.popitem()[1].engine.close()


def backend(url: str, plain_format: str) -> RedisBackend:
    """Returns the backend of this process for a Redis URL.

    :raises tidecast.errors.InvalidError: The URL is malformed.
    """
    key = (url, plain_format)
    if key not in _backends:
        created = RedisBackend(Engine(url, plain_format=plain_format))
        # Atomic without a lock, which a fork might find taken. An engine that loses here has opened nothing.
        if _backends.setdefault(key, created) is created:
            for warning in created.engine.warnings:
                _logger.warning("Redis URL: %s", warning)
    return _backends[key]
