"""The applications of this process: whose settings apply if there is no current one, and warnings that are logged once.

Flask is not imported here: a program may publish without it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from .errors import InvalidError
from .settings import Settings

if TYPE_CHECKING:
    from flask import Flask

_logger = logging.getLogger("tidecast")

#: The applications that stream, in the order of their registration.
_apps: list[ref[Flask]] = []

#: The warnings of each process, by its id: a child of a fork inherits its parent's.
_logged: set[tuple[int, str]] = set()

#: The settings with which several processes share channels.
HOW_TO_SHARE = 'set app.config["SSE_REDIS_URL"], or app.config["SSE_HUB_URL"] and app.config["SSE_HUB_KEY"]'


def register(app: Flask) -> None:
    """Remembers an application that streams, for as long as it lives. Its settings are read on use."""
    _apps[:] = [*(known for known in _apps if known() not in (None, app)), ref(app)]


def settings_of(app: Flask) -> Settings:
    """Returns the settings of an application, which are read again only if its configuration has changed.

    :raises ValueError: A setting is invalid.
    """
    return Settings.cached(app.config, app.extensions)


def current() -> tuple[Settings, Callable[[Any], str]]:
    """Returns the settings that apply here, and the function that writes JSON.

    They are those of the current application; without one, of the application that was registered last; without any, of
    the environment.

    :raises ValueError: A setting is invalid.
    """
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_app_context():
        return settings_of(flask.current_app), flask.json.dumps
    for known in reversed(_apps):
        if (app := known()) is not None:
            return settings_of(app), app.json.dumps
    return Settings.of_environment(), _dumps


def reset() -> None:
    """Forgets the applications, and which warnings were logged."""
    _apps.clear()
    _logged.clear()


def _dumps(value: Any) -> str:
    """Writes JSON as an application with Flask's own provider does."""
    try:
        return json.dumps(value)
    except TypeError:
        # A date, a UUID or a Decimal: only these need Flask.
        from flask import json as flask_json

        return flask_json.dumps(value)


def in_request() -> bool:
    """Returns whether Flask is serving a request here."""
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())


def channel_name(name: Any) -> str:
    """Returns the name of a channel that is given as Flask-SSE takes it: as text, bytes or a number.

    :raises tidecast.errors.InvalidError: The name is something else, or bytes that are not UTF-8.
    """
    if isinstance(name, str):
        # The value of an enumeration's member.
        return str.__str__(name)
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        return str(name)
    if isinstance(name, bytes):
        try:
            return name.decode()
        except UnicodeDecodeError:
            pass
    raise InvalidError(f"channel must be a string, not {name!r}")


def warn_memory_not_shared() -> None:
    """Warns once that several processes do not share events in memory."""
    _warn_once(
        "this server runs several processes, and without a Redis or a hub an event reaches only the streams of the "
        f"process that published it: {HOW_TO_SHARE}, or run one process with threads"
    )


def warn_no_stream_here() -> None:
    """Warns once that an event was published in the memory of a process that serves no stream."""
    _warn_once(
        f"an event was published in the memory of process {os.getpid()}, which serves no stream, so no page of another "
        f"process receives it: {HOW_TO_SHARE}, in both processes; without an application, set the environment "
        "variables of these names"
    )


def warn_streams_take_turns(seconds: float) -> None:
    """Warns once that a stream occupies a worker that serves one request at a time."""
    turn = f"for {seconds:g} s (SSE_MAX_STREAM_SECONDS), then its page reconnects" if seconds else "until it ends"
    _warn_once(
        f"a stream occupies this worker, which serves one request at a time, {turn}: `gunicorn -k gevent` serves many"
    )


def warn_disconnects_unseen(seconds: float) -> None:
    """Warns once that the server may never report a closed page."""
    turn = f"so a stream ends after {seconds:g} s (SSE_MAX_STREAM_SECONDS), and its page reconnects"
    risk = "so each closed page may occupy a thread for ever, as SSE_MAX_STREAM_SECONDS is 0"
    _warn_once(
        f"this server does not tell when a page is closed, {turn if seconds else risk}: docs/servers.md lists servers "
        "that do"
    )


def warn_hub_unused() -> None:
    """Warns once that the application's custom Redis client takes precedence over its hub."""
    _warn_once(
        "SSE_HUB_URL is set and ignored: events go through a custom Redis client, because `redis` is overridden or "
        "StrictRedis replaced; remove it to use the hub"
    )


def warn_stream_refused(error: Exception) -> None:
    """Warns once that this process can open no stream at the moment."""
    _warn_once(f"a page is told to reconnect later: {error}")


def _warn_once(text: str) -> None:
    if (os.getpid(), text) not in _logged:
        _logged.add((os.getpid(), text))
        _logger.warning(text)
