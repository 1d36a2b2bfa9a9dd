"""redis-py, where it is installed, and whether a client of it is the application's own.

Whoever overrides ``redis``, or puts something else in the place of ``StrictRedis``, means that client to be used:
another pool, a proxy, a fake in a test. Whether it is so is seen without making one.
"""

from __future__ import annotations

import inspect
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
        """Stands in for redis-py's client, where that is not installed."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError("`sse.redis` needs redis-py: pip install 'tidecast[redis]'")

        @classmethod
        def from_url(cls, url: str, **options: Any) -> _Missing:
            """Say what to install."""
            return cls(url, **options)

    class _NeverRaised(Exception):
        """Stands in for redis-py's, where that is not installed."""

    StrictRedis, ConnectionError = _Missing, _NeverRaised

#: The modules that a `from_url` of nobody's own comes from.
_DEFAULT_MODULES = ("redis.client", __name__)


def strict_redis() -> Any:
    """What stands under the name ``StrictRedis`` in ``tidecast.flask_sse``, where a program may have replaced it."""
    return sys.modules[__package__ or ""].__dict__["StrictRedis"]


def is_custom(blueprint: Blueprint, default: object) -> bool:
    """Whether a blueprint's client is the application's own.

    :param blueprint: The blueprint.
    :param default: The property ``redis`` that nobody has overridden.
    """
    if inspect.getattr_static(blueprint, "redis") is not default or strict_redis() is not StrictRedis:
        return True
    from_url = inspect.getattr_static(StrictRedis, "from_url", None)
    return getattr(getattr(from_url, "__func__", None), "__module__", None) not in _DEFAULT_MODULES
