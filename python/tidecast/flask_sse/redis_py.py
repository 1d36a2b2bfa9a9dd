"""redis-py, if it is installed, and whether an application uses a custom client of it.

An application that overrides ``redis``, or replaces ``StrictRedis``, wants its own client to be used: another pool, a
proxy, a fake in a test. No client is created to find that out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Blueprint

StrictRedis: Any
ConnectionError: type[Exception]

try:
    from redis import StrictRedis as _StrictRedis
    from redis.exceptions import ConnectionError as _ConnectionError

    StrictRedis, ConnectionError = _StrictRedis, _ConnectionError
except ImportError:

    class _Missing:
        """Stands in for redis-py's client if that is not installed."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError("`sse.redis` needs redis-py: pip install 'tidecast[redis]'")

        @classmethod
        def from_url(cls, url: str, **options: Any) -> _Missing:
            """Raises the error that says what to install."""
            return cls(url, **options)

    class _NeverRaised(Exception):
        """Stands in for redis-py's exception if that is not installed."""

    StrictRedis, ConnectionError = _Missing, _NeverRaised

#: The modules whose `from_url` no application has replaced.
_DEFAULT_MODULES = ("redis.client", __name__)


def strict_redis() -> Any:
    """Returns the ``StrictRedis`` of ``tidecast.flask_sse``, which an application may have replaced."""
    return sys.modules[__package__ or ""].__dict__["StrictRedis"]


def is_custom(blueprint: Blueprint, default: object) -> bool:
    """Returns whether a blueprint's Redis client is a custom one.

    :param blueprint: The blueprint.
    :param default: The property ``redis`` that an application may override.
    """
    if getattr(type(blueprint), "redis", None) is not default or strict_redis() is not StrictRedis:
        return True
    from_url = getattr(StrictRedis, "from_url", None)
    return getattr(getattr(from_url, "__func__", None), "__module__", None) not in _DEFAULT_MODULES
