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

from .._native import hang_up, peer_has_closed, unsent
from ..poll import wait_any_readable
from . import worker_monitor

#: How often a server is asked that has to be, in seconds.
DISCONNECT_CHECK_SECONDS = 1.0

#: Whether the server of this process has closed a stream before its end, so that its clients' ends are noticed.
_server_reports_close = False


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
        self._monitor = worker_monitor.current() if environ else None
        self.stall_seconds = stall_seconds
        self.write_started_at = 0.0

    @property
    def disconnect_may_be_unseen(self) -> bool:
        """Whether its server may never tell that it has gone."""
        return self._is_served and not self._is_shown and not _server_reports_close

    def note_early_close(self) -> None:
        """Notes that the server has closed the stream before its end."""
        global _server_reports_close
        _server_reports_close = _server_reports_close or self._is_served

    def wait(self, fileno: int, seconds: float | None) -> bool:
        """Wait until a descriptor is readable or the client has gone.

        :param fileno: The descriptor.
        :param seconds: How long at most; ``None`` is for ever.
        :return: Whether the client is still there.
        """
        if self._disconnected is not None:
            seconds = DISCONNECT_CHECK_SECONDS if seconds is None else min(seconds, DISCONNECT_CHECK_SECONDS)
        watched = [fileno] if self._fileno is None else [fileno, self._fileno]
        ready = wait_any_readable(watched, seconds)
        if self._fileno is not None and self._fileno in ready:
            if peer_has_closed(self._fileno):
                return False
            # It has sent something more, which is nobody's to read now, and would be seen for ever.
            self._fileno = None
        return self._disconnected is None or not self._disconnected()

    def write_started(self) -> None:
        """Notes that the server has a piece to write to it."""
        if self._socket is not None and self._monitor is not None:
            self.write_started_at = monotonic()
            self._monitor.writing_peers.add(self)

    def write_finished(self) -> None:
        """Notes that the server has written that piece, or has given up."""
        if self._monitor is not None:
            self._monitor.writing_peers.discard(self)

    def unsent_bytes(self) -> int | None:
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
