"""The settings of a program, read from a Flask application's configuration or from the environment.

Each setting is declared here once, with its default. Nothing is opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

#: The names that may hold a Redis URL; the first that is set counts, as in Flask-SSE.
REDIS_URLS = ("SSE_REDIS_URL", "REDIS_URL")

#: The parts of a Redis address, as the legacy extension has them, with the default of each if another one is set.
REDIS_PARTS = {"SSE_REDIS_HOST": "localhost", "SSE_REDIS_PORT": 6379, "SSE_REDIS_DB": 0}

#: The names of all settings.
NAMES = (
    *REDIS_URLS,
    *REDIS_PARTS,
    "SSE_HUB_URL",
    "SSE_HUB_KEY",
    "SSE_HUB_TICKET_KEY",
    "SSE_HUB_PUBLIC_URL",
    "SSE_HUB_VIA",
    "SSE_HUB_TICKET_SECONDS",
    "SSE_HUB_ACCEL_PREFIX",
    "SSE_KEEP_ALIVE_SECONDS",
    "SSE_RETRY_MS",
    "SSE_MAX_STREAM_SECONDS",
    "SSE_STALL_SECONDS",
    "SSE_MULTI_CHANNEL",
)


@dataclass(frozen=True)
class HubSettings:
    """The hub that carries the events, and the way of browsers to it."""

    #: ``SSE_HUB_URL``: the hub's address for programs. A slash at the end is removed.
    url: str

    #: ``SSE_HUB_KEY``: the hub's publish key. It also signs tickets if there is no ticket key.
    key: str = field(repr=False)

    #: ``SSE_HUB_PUBLIC_URL``: the hub's address for browsers; a path alone belongs to the application's own site.
    #: Default: ``SSE_HUB_URL``.
    public_url: str

    #: ``SSE_HUB_TICKET_SECONDS``: how long a browser may reconnect without asking the application again, in seconds; at
    #: least 1. Default: 43,200, which is 12 hours.
    ticket_seconds: int = 43_200

    #: ``SSE_HUB_VIA``: ``redirect``, or ``accel`` if an nginx in front of the application fetches the stream. Default:
    #: ``redirect``.
    via: str = "redirect"

    #: ``SSE_HUB_ACCEL_PREFIX``: the internal location of that nginx that leads to the hub. Default: ``/_tidecast``.
    accel_prefix: str = "/_tidecast"

    #: ``SSE_HUB_TICKET_KEY``: the hub's ticket key. ``None``, the default: ``SSE_HUB_KEY`` signs tickets.
    ticket_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> HubSettings | None:
        """Reads a configuration; returns ``None`` if it names no hub.

        :raises ValueError: A setting is invalid or missing.
        """
        url, key = (str(config.get(name) or "").strip() for name in ("SSE_HUB_URL", "SSE_HUB_KEY"))
        if not (url or key):
            return None
        if not (url and key):
            missing, present = ("SSE_HUB_KEY", "SSE_HUB_URL") if url else ("SSE_HUB_URL", "SSE_HUB_KEY")
            raise ValueError(f"{present} is set and {missing} is not: a hub needs both")
        ticket_key = str(config.get("SSE_HUB_TICKET_KEY") or "").strip() or None
        for name, secret in (("SSE_HUB_KEY", key), ("SSE_HUB_TICKET_KEY", ticket_key or "")):
            # A key travels in a header. The message must not repeat it.
            if not _is_visible(secret):
                raise ValueError(f"{name} must be visible ASCII characters")
        public_url = str(config.get("SSE_HUB_PUBLIC_URL") or url).strip()
        is_path = public_url.startswith("/") and not public_url.startswith("//")
        via = str(config.get("SSE_HUB_VIA") or cls.via)
        if via not in ("redirect", "accel"):
            raise ValueError(f"SSE_HUB_VIA must be `redirect` or `accel`, not {via!r}")
        ticket_seconds = int(_number(config, "SSE_HUB_TICKET_SECONDS", cls.ticket_seconds))
        if ticket_seconds < 1:
            raise ValueError("SSE_HUB_TICKET_SECONDS must be at least 1: a ticket that expires at once opens no stream")
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
    """The settings of a program."""

    #: The hub that carries the events; ``None`` for none. It takes precedence over a Redis, which many programs
    #: configure for something else.
    hub: HubSettings | None = None

    #: The Redis that carries the events if no hub does; ``None`` for the memory of this process.
    redis_url: str | None = None

    #: How events are written for programs that do not know Tidecast: ``object``, as Flask-SSE reads them, or ``array``,
    #: as the legacy extension does. ``array`` if the Redis is named by :data:`REDIS_PARTS`.
    plain_format: str = "object"

    #: ``SSE_KEEP_ALIVE_SECONDS``: a comment is sent after a silence of this many seconds; 0 for never. Default: 8.
    keep_alive_seconds: float = 8

    #: ``SSE_RETRY_MS``: how long a browser waits before it reconnects, in milliseconds; with 0 it reconnects at once.
    #: Default: 3000.
    retry_ms: int = 3000

    #: ``SSE_MAX_STREAM_SECONDS``: when a stream ends by itself, in seconds; 0 for never. Default: 20. It applies to
    #: workers that serve one request at a time, and to servers that may never report a closed page. The browser
    #: reconnects.
    max_stream_seconds: float = 20

    #: ``SSE_STALL_SECONDS``: when a client that reads nothing is disconnected, in seconds; 0 for never. Default: 30. It
    #: applies if the server exposes the client's socket.
    stall_seconds: float = 30

    #: ``SSE_MULTI_CHANNEL``: whether a stream has every ``channel`` of its address. Default: ``False``, which is the
    #: first one as in Flask-SSE, because a guard that reads ``request.args["channel"]`` sees only that one.
    multi_channel: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Reads a configuration. An empty value counts as missing.

        :raises ValueError: A setting is invalid.
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
            multi_channel=_boolean(config.get("SSE_MULTI_CHANNEL", cls.multi_channel)),
        )

    @classmethod
    def cached(cls, config: Mapping[str, Any], cache: dict[str, Any]) -> Settings:
        """Returns the settings of a configuration, which is read again only if a value has changed.

        :param cache: Where the settings are kept, under the name ``tidecast``.
        :raises ValueError: A setting is invalid.
        """
        values = tuple(map(config.get, NAMES))
        known: tuple[tuple[Any, ...], Settings] | None = cache.get("tidecast")
        if known is None or known[0] != values:
            known = cache["tidecast"] = (values, cls.of(config))
        return known[1]

    @classmethod
    def of_environment(cls) -> Settings:
        """Reads the settings from the environment, under the same names.

        :raises ValueError: A setting is invalid.
        """
        return cls.cached(os.environ, _environment)


_environment: dict[str, Any] = {}


def redis_url(config: Mapping[str, Any]) -> str | None:
    """Returns the Redis URL that Flask-SSE would use; ``None`` for none."""
    return next((str(config[name]) for name in REDIS_URLS if config.get(name)), None)


def _redis(config: Mapping[str, Any]) -> tuple[str | None, str]:
    url = redis_url(config)
    if url is not None:
        return url, "object"
    given = {name: config[name] for name in REDIS_PARTS if config.get(name) not in (None, "")}
    if not given:
        return None, "object"
    host, port, db = (REDIS_PARTS | given).values()
    # Quoted, so that no part can spill into another one.
    host = f"[{host}]" if ":" in str(host) else quote(str(host), safe="")
    return f"redis://{host}:{quote(str(port), safe='')}/{quote(str(db), safe='')}", "array"


def _address(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        _ = parts.port
        is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and not set("?#@") & set(url)
    except ValueError:
        is_plain = False
    if not (is_plain and _is_visible(url)):
        # Without the password that may stand before the `@`.
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
    # NaN fails this too.
    if not 0 <= number <= 86_400_000:
        raise ValueError(f"{name} must be a number from 0 to 86400000, not {value!r}")
    return number


def _boolean(value: object) -> bool:
    return value.strip().lower() in ("1", "true", "yes", "on") if isinstance(value, str) else bool(value)
