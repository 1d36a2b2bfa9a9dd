"""The client of a stream, as far as the server lets one see it: whether it is still there, and takes what it is given.

gunicorn and Werkzeug put the socket into the environment, and uWSGI tells its descriptor: its end is seen at once.
waitress has a function to be asked, which knows it where ``channel_request_lookahead`` is set, and else notices it when
it writes. A server that shows none of this may never notice, as the adapters from WSGI to ASGI: there a stream has a
bounded life, until the server has once closed a stream before its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from time import monotonic
from typing import Any

from .._native import hang_up, peer_is_gone, unsent
from ..poll import wait_any
from . import worker_monitor

#: How often a server is asked that has to be, in seconds.
ASK_EVERY = 1.0

#: Whether the server of this process has closed a stream before its end, so that its clients' ends are noticed.
_server_closes = False


class Peer:
    """The client of a stream.

    :param environ: A WSGI environment, which is not kept; ``None`` for a reader that no server serves.
    :param stall_seconds: After how long its connection is ended if it takes nothing; 0 is never.
    """

    def __init__(self, environ: Mapping[str, Any] | None, stall_seconds: float = 0) -> None:
        environ = environ or {}
        self._socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        self._fileno = _fileno_of_uwsgi() if "uwsgi.version" in environ else _fileno(self._socket)
        disconnected = environ.get("waitress.client_disconnected")
        self._disconnected: Callable[[], bool] | None = disconnected if callable(disconnected) else None
        self._is_served = bool(environ)
        self._is_shown = self._fileno is not None or self._disconnected is not None
        self._worker = worker_monitor.present() if environ else None
        self.stall_seconds = stall_seconds
        self.given_at = 0.0

    @property
    def may_go_unnoticed(self) -> bool:
        """Whether its server may never tell that it has gone."""
        return self._is_served and not self._is_shown and not _server_closes

    def was_closed_early(self) -> None:
        """Notes that the server has closed the stream before its end."""
        global _server_closes
        _server_closes = _server_closes or self._is_served

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

    def given(self) -> None:
        """Notes that the server has a piece to write to it."""
        if self._socket is not None and self._worker is not None:
            self.given_at = monotonic()
            self._worker.writing.add(self)

    def took(self) -> None:
        """Notes that the server has written that piece, or has given up."""
        if self._worker is not None:
            self._worker.writing.discard(self)

    def unsent(self) -> int | None:
        """Returns how many bytes it has not taken; ``None`` if that is not known."""
        fileno = _fileno(self._socket)
        return None if fileno is None else unsent(fileno)

    def hang_up(self) -> None:
        """Ends its connection, so that the server's write fails. The server closes it."""
        if (fileno := _fileno(self._socket)) is not None:
            hang_up(fileno)


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
