"""The applications of this process: whose settings count where none is at hand, and what is said to them once.

Flask is not imported here: whoever publishes from elsewhere need not have an application at all.
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

#: The applications that stream, in the order in which they were registered. They may be gone.
_apps: list[ref[Flask]] = []

_logged: set[tuple[int, str]] = set()

#: How an application comes to share its channels with other processes.
HOW_TO_SHARE = 'set app.config["SSE_REDIS_URL"], or app.config["SSE_HUB_URL"] and app.config["SSE_HUB_KEY"]'


def register(app: Flask) -> None:
    """Remembers an application that streams, for as long as it lives. Its settings are read when they are needed."""
    _apps[:] = [*(known for known in _apps if known() not in (None, app)), ref(app)]


def current() -> tuple[Settings, Callable[[Any], str]]:
    """Returns the settings that count here, and what writes JSON: of the current application; else of the application
    that was registered last of those of this process; else of the environment."""
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_app_context():
        return Settings.of(flask.current_app.config), flask.json.dumps
    for known in reversed(_apps):
        if (app := known()) is not None:
            return Settings.of(app.config), app.json.dumps
    return Settings.of_environment(), _dumps


def reset() -> None:
    """Forgets the applications, and what was said."""
    _apps.clear()
    _logged.clear()


def _dumps(value: Any) -> str:
    """Writes JSON as an application without a provider of its own does."""
    try:
        return json.dumps(value)
    except TypeError:
        # A date, a UUID, a Decimal. Flask is imported for those alone.
        from flask import json as of_flask

        return of_flask.dumps(value)


def in_request() -> bool:
    """Returns whether this is called within a request."""
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())


def channel_name(name: Any) -> str:
    """A channel's name, of what Flask-SSE takes for one: text, bytes or a number.

    :raises tidecast.errors.InvalidError: It is something else, or bytes that are not UTF-8.
    """
    if isinstance(name, str):
        # Of an enumeration its value.
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
    """Say, once, that what is in this process' memory is in no other one."""
    _warn_once(
        "this server runs several processes, and without a Redis or a hub an event reaches only the streams of the "
        f"process that published it: {HOW_TO_SHARE}, or run one process with threads"
    )


def warn_no_stream_here() -> None:
    """Say, once, that what was published here is in this process alone, which nobody has listened to."""
    _warn_once(
        f"an event was published in the memory of process {os.getpid()}, which serves no stream: the pages of another "
        f"process can't get it; {HOW_TO_SHARE}, in both; without an application, set the environment variables of "
        "these names"
    )


def warn_streams_take_turns(seconds: float) -> None:
    """Say, once, that streams take turns where a worker serves one request at a time."""
    turn = f"for {seconds:g} s (SSE_MAX_STREAM_SECONDS), and comes back" if seconds else "for as long as it lasts"
    _warn_once(
        f"a stream has this worker, which serves one request at a time, {turn}; `gunicorn -k gevent` serves many"
    )


def warn_disconnects_unseen(seconds: float) -> None:
    """Say, once, that the server may never tell that a page was closed."""
    turn = f"so a stream ends after {seconds:g} s (SSE_MAX_STREAM_SECONDS), and its page comes back" if seconds else ""
    risk = "and each closed page may keep a thread for ever, as SSE_MAX_STREAM_SECONDS is 0"
    _warn_once(
        f"this server does not tell when a page is closed, {turn or risk}; docs/servers.md says which servers do"
    )


def warn_hub_unused() -> None:
    """Say, once, that a client of the application's own comes before the hub that it names."""
    _warn_once(
        "SSE_HUB_URL is set, and goes unused here: `redis` is overridden or StrictRedis replaced, and such a client is "
        "what events go through; take it away to use the hub"
    )


def _warn_once(text: str) -> None:
    # A child has what its parent has said.
    if (os.getpid(), text) not in _logged:
        _logged.add((os.getpid(), text))
        _logger.warning(text)
