"""What a program has set, read from a Flask application's configuration or from the environment.

It opens nothing. Each setting is declared here once, with its default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

#: Where Flask-SSE looks for a Redis URL, in this order.
REDIS_URLS = ("SSE_REDIS_URL", "REDIS_URL")

#: What the older extension of that name has instead, each with what it is where only another one is set.
REDIS_PARTS = {"SSE_REDIS_HOST": "localhost", "SSE_REDIS_PORT": 6379, "SSE_REDIS_DB": 0}


@dataclass(frozen=True)
class HubSettings:
    """Which hub carries the events, and how browsers come to it."""

    #: ``SSE_HUB_URL``: where programs reach it, without a slash at its end.
    url: str

    #: ``SSE_HUB_KEY``: its publish key, which also signs tickets if there is no ticket key.
    key: str = field(repr=False)

    #: ``SSE_HUB_PUBLIC_URL``: where browsers reach it; a path alone is one of the application's own site. Default:
    #: ``SSE_HUB_URL``.
    public_url: str

    #: ``SSE_HUB_TICKET_SECONDS``: for how long a browser may come back without asking the application again. 43,200,
    #: which is 12 hours; at least 1.
    ticket_seconds: int = 43_200

    #: ``SSE_HUB_VIA``: ``redirect``, or ``accel`` where an nginx in front is to fetch the stream.
    via: str = "redirect"

    #: ``SSE_HUB_ACCEL_PREFIX``: the internal location of that nginx which leads to the hub. ``/_tidecast``.
    accel_prefix: str = "/_tidecast"

    #: ``SSE_HUB_TICKET_KEY``: its ticket key, if it has one. Default: ``SSE_HUB_KEY`` signs.
    ticket_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> HubSettings | None:
        """Read a configuration; ``None`` where it names no hub.

        :raises ValueError: Something can't be what it is to be, or is missing.
        """
        url, key = (str(config.get(name) or "").strip() for name in ("SSE_HUB_URL", "SSE_HUB_KEY"))
        if not (url or key):
            return None
        if not (url and key):
            missing, there = ("SSE_HUB_KEY", "SSE_HUB_URL") if url else ("SSE_HUB_URL", "SSE_HUB_KEY")
            raise ValueError(f"{there} is set and {missing} is not: a hub needs both")
        # It travels in a header. What it is stays out of the message.
        ticket_key = str(config.get("SSE_HUB_TICKET_KEY") or "").strip() or None
        for name, secret in (("SSE_HUB_KEY", key), ("SSE_HUB_TICKET_KEY", ticket_key or "")):
            if not _is_visible(secret):
                raise ValueError(f"{name} must be visible ASCII characters")
        public_url = str(config.get("SSE_HUB_PUBLIC_URL") or url).strip()
        is_path = public_url.startswith("/") and not public_url.startswith("//")
        via = str(config.get("SSE_HUB_VIA") or cls.via)
        if via not in ("redirect", "accel"):
            raise ValueError(f"SSE_HUB_VIA must be `redirect` or `accel`, not {via!r}")
        ticket_seconds = int(_number(config, "SSE_HUB_TICKET_SECONDS", cls.ticket_seconds))
        if ticket_seconds < 1:
            raise ValueError("SSE_HUB_TICKET_SECONDS must be at least 1: a ticket is checked when it comes")
        return cls(
            url=_address("SSE_HUB_URL", url),
            key=key,
            public_url=(_path if is_path else _address)("SSE_HUB_PUBLIC_URL", public_url),
            ticket_seconds=ticket_seconds,
            via=via,
            accel_prefix=_path("SSE_HUB_ACCEL_PREFIX", str(config.get("SSE_HUB_ACCEL_PREFIX") or cls.accel_prefix)),
            ticket_key=ticket_key,
        )


@dataclass(frozen=True)
class Settings:
    """What a program has set."""

    #: The hub that carries the events; ``None`` for none. It comes before a Redis, which many name for something else.
    hub: HubSettings | None = None

    #: The Redis that carries the events where no hub does; ``None`` for this process' memory.
    redis_url: str | None = None

    #: How events are written for programs that know nothing of Tidecast: ``object``, as Flask-SSE reads them, or
    #: ``array``, as the older extension does. It goes by how the Redis is named.
    plain_format: str = "object"

    #: ``SSE_KEEP_ALIVE_SECONDS``: after how long without anything sent a comment is. 8; 0 is never.
    keep_alive_seconds: float = 8

    #: ``SSE_RETRY_MS``: how long a browser waits before it connects again, in milliseconds. 3000; 0 is at once.
    retry_ms: int = 3000

    #: ``SSE_MAX_STREAM_SECONDS``: when a stream ends by itself, in seconds, in a worker that serves one request at a
    #: time, so that others have their turn, and on a server that may never notice that its page was closed. The browser
    #: comes back. 20; 0 is never.
    max_stream_seconds: float = 20

    #: ``SSE_STALL_SECONDS``: after how long a client is cut that takes nothing of what is written to it, in seconds, if
    #: the server shows its socket. 30; 0 is never.
    stall_seconds: float = 30

    #: ``SSE_MULTI_CHANNEL``: whether every ``channel`` of an address counts. ``False``: the first does, as in
    #: Flask-SSE, because a guard that reads ``request.args["channel"]`` sees only that one.
    multi_channel: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Read a configuration. What is there but empty counts as not there.

        :raises ValueError: A number is none, or what names a hub can't.
        """
        redis_url, plain_format = _redis(config)
        return cls(
            hub=HubSettings.of(config),
            redis_url=redis_url,
            plain_format=plain_format,
            keep_alive_seconds=_number(config, "SSE_KEEP_ALIVE_SECONDS", cls.keep_alive_seconds),
            retry_ms=int(_number(config, "SSE_RETRY_MS", cls.retry_ms)),
            max_stream_seconds=_number(config, "SSE_MAX_STREAM_SECONDS", cls.max_stream_seconds),
            stall_seconds=_number(config, "SSE_STALL_SECONDS", cls.stall_seconds),
            multi_channel=_switch(config.get("SSE_MULTI_CHANNEL", cls.multi_channel)),
        )

    @classmethod
    def of_environment(cls) -> Settings:
        """Read the same names from the environment.

        :raises ValueError: A number is none, or what names a hub can't.
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


def _address(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        # Reading it is what checks it.
        _ = parts.port
        is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and not set("?#@") & set(url)
    except ValueError:
        is_plain = False
    if not (is_plain and _is_visible(url)):
        # A password that it may have is not repeated.
        shown = url.rpartition("@")[2]
        raise ValueError(f"{name} must be an address such as http://127.0.0.1:8000, without a user, not {shown!r}")
    return url.rstrip("/")


def _path(name: str, path: str) -> str:
    if not (path.startswith("/") and _is_visible(path) and not set("?#%") & set(path)):
        raise ValueError(f"{name} must be a path such as /_tidecast, not {path!r}")
    return path.rstrip("/")


def _is_visible(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


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
