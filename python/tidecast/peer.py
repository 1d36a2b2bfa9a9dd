"""Whether the client of a stream is still there, as far as the server lets one see.

gunicorn and Werkzeug put the socket into the environment, and uWSGI tells its descriptor: its end is seen at once.
waitress has a function to be asked, which knows it where ``channel_request_lookahead`` is set. Elsewhere the second
keep-alive into nothing ends the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ._native import peer_is_gone
from .waiting import wait_any

#: How often a server is asked that has to be, in seconds.
ASK_EVERY = 1.0


class Peer:
    """The client of a stream."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        """
        :param environ: A WSGI environment, which is not kept.
        """
        socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        self._fileno = _fileno_of_uwsgi() if "uwsgi.version" in environ else _fileno(socket)
        disconnected = environ.get("waitress.client_disconnected")
        self._disconnected: Callable[[], bool] | None = disconnected if callable(disconnected) else None

    def wait(self, fileno: int, seconds: float | None) -> bool:
        """Wait until a descriptor is readable or the client has gone.

        :param fileno: The descriptor.
        :param seconds: How long at most; ``None`` is for ever.
        :return: Whether the client is still there.
        """
        if self._disconnected is not None:
            seconds = ASK_EVERY if seconds is None else min(seconds, ASK_EVERY)
        watched = [fileno] if self._fileno is None else [fileno, self._fileno]
        ready = wait_any(watched, seconds)
        if self._fileno is not None and self._fileno in ready:
            if peer_is_gone(self._fileno):
                return False
            # It has sent something more, which is nobody's to read now, and would be seen for ever.
            self._fileno = None
        return self._disconnected is None or not self._disconnected()


def _fileno(socket: Any) -> int | None:
    try:
        fileno = socket.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return fileno if isinstance(fileno, int) and fileno >= 0 else None


def _fileno_of_uwsgi() -> int | None:
    # There is such a module only in a process that uWSGI runs; it knows the request that this thread or greenlet is in.
    try:
        fileno = import_module("uwsgi").connection_fd()
    except (ImportError, AttributeError):
        return None
    return fileno if isinstance(fileno, int) and fileno >= 0 else None
