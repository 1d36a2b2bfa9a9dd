"""What a program has set, read from a Flask application's configuration or from the environment.

It opens nothing. Each setting is declared here once, with its default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: Where Flask-SSE looks for a Redis URL, in this order.
REDIS_URLS = ("SSE_REDIS_URL", "REDIS_URL")

#: What the older extension of that name has instead, each with what it is where only another one is set.
REDIS_PARTS = {"SSE_REDIS_HOST": "localhost", "SSE_REDIS_PORT": 6379, "SSE_REDIS_DB": 0}


@dataclass(frozen=True)
class Settings:
    """What a program has set."""

    #: The Redis that carries the events; ``None`` for this process' memory.
    redis_url: str | None = None

    #: How events are written for programs that know nothing of Tidecast: ``object``, as Flask-SSE reads them, or
    #: ``array``, as the older extension does. It goes by how the Redis is named.
    plain_format: str = "object"

    #: ``SSE_KEEP_ALIVE_SECONDS``: after how long without anything sent a comment is. 15; 0 is never.
    keep_alive_seconds: float = 15

    #: ``SSE_RETRY_MS``: how long a browser waits before it connects again, in milliseconds. 3000; 0 is at once.
    retry_ms: int = 3000

    #: ``SSE_MAX_STREAM_SECONDS``: when a stream ends by itself in a worker that serves one request at a time, so that
    #: others have their turn; the browser comes back. 20; 0 is never.
    max_stream_seconds: float = 20

    #: ``SSE_MULTI_CHANNEL``: whether every ``channel`` of an address counts. ``False``: the first does, as in
    #: Flask-SSE, because a guard that reads ``request.args["channel"]`` sees only that one.
    multi_channel: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Read a configuration. What is there but empty counts as not there.

        :raises ValueError: A number is none.
        """
        redis_url, plain_format = _redis(config)
        return cls(
            redis_url=redis_url,
            plain_format=plain_format,
            keep_alive_seconds=_number(config, "SSE_KEEP_ALIVE_SECONDS", cls.keep_alive_seconds),
            retry_ms=int(_number(config, "SSE_RETRY_MS", cls.retry_ms)),
            max_stream_seconds=_number(config, "SSE_MAX_STREAM_SECONDS", cls.max_stream_seconds),
            multi_channel=_switch(config.get("SSE_MULTI_CHANNEL", cls.multi_channel)),
        )

    @classmethod
    def of_environment(cls) -> Settings:
        """Read the same names from the environment.

        :raises ValueError: A number is none.
        """
        return cls.of(os.environ)


def redis_url(config: Mapping[str, Any]) -> str | None:
    """The Redis URL that Flask-SSE would take, if there is one."""
    return next((str(config[name]) for name in REDIS_URLS if config.get(name)), None)


def _redis(config: Mapping[str, Any]) -> tuple[str | None, str]:
    url = redis_url(config)
    if url is not None:
        return url, "object"
    given = {name: config[name] for name in REDIS_PARTS if config.get(name) not in (None, "")}
    if not given:
        return None, "object"
    host, port, db = (REDIS_PARTS | given).values()
    # So that a part can't become another one.
    host = f"[{host}]" if ":" in str(host) else quote(str(host), safe="")
    return f"redis://{host}:{quote(str(port), safe='')}/{quote(str(db), safe='')}", "array"


def _number(config: Mapping[str, Any], name: str, default: float) -> float:
    value = config.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1
    # No number is above itself but those that are none.
    if not 0 <= number <= 86_400_000:
        raise ValueError(f"{name} must be a number that is not negative, not {value!r}")
    return number


def _switch(value: object) -> bool:
    return value.strip().lower() in ("1", "true", "yes", "on") if isinstance(value, str) else bool(value)
