"""The client of a stream, as far as the WSGI server exposes it: whether it is connected, and whether it reads.

gunicorn and Werkzeug put the socket into the environment, and uWSGI gives its descriptor: a disconnect is seen at once.
waitress offers a function to ask; it knows the answer if ``channel_request_lookahead`` is set, else only after a failed
write. Other servers, such as the adapters from WSGI to ASGI, may never report a disconnect. Under these a stream has a
bounded life, until the server has once closed a stream early.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from time import monotonic
from typing import Any

from .._native import hang_up, peer_has_closed, unsent_bytes
from ..poll import wait_any_readable
from . import worker_monitor

#: How often a server with a function to ask is asked, in seconds.
DISCONNECT_CHECK_SECONDS = 1.0

#: Whether the server of this process has closed a stream early, and so reports disconnects.
_server_reports_close = False


class Peer:
    """The client of a stream.

    :param environ: A WSGI environment, which is not kept; ``None`` for a reader outside of a request.
    :param stall_seconds: When a client that reads nothing is disconnected, in seconds; 0 for never.
    """

    def __init__(self, environ: Mapping[str, Any] | None, stall_seconds: float = 0) -> None:
        environ = environ or {}
        self._socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        self._fileno = _fileno_of_uwsgi() if "uwsgi.version" in environ else _fileno(self._socket)
        disconnected = environ.get("waitress.client_disconnected")
        self._disconnected: Callable[[], bool] | None = disconnected if callable(disconnected) else None
        self._is_served = bool(environ)
        self._is_exposed = self._fileno is not None or self._disconnected is not None
        self._monitor = worker_monitor.current() if environ else None
        self.stall_seconds = stall_seconds
        self.write_started_at = 0.0

    @property
    def disconnect_may_be_unseen(self) -> bool:
        """Returns whether the server may never report that the client has disconnected."""
        return self._is_served and not self._is_exposed and not _server_reports_close

    def note_early_close(self) -> None:
        """Records that the server closed the stream before its end."""
        global _server_reports_close
        _server_reports_close = _server_reports_close or self._is_served

    def wait(self, fileno: int, seconds: float | None) -> bool:
        """Waits until a descriptor is readable, the client has disconnected, or the time is up.

        :param fileno: The descriptor.
        :param seconds: The longest wait in seconds; ``None`` waits for ever.
        :return: Whether the client is still connected.
        """
        if self._disconnected is not None:
            seconds = DISCONNECT_CHECK_SECONDS if seconds is None else min(seconds, DISCONNECT_CHECK_SECONDS)
        watched = [fileno] if self._fileno is None else [fileno, self._fileno]
        ready = wait_any_readable(watched, seconds)
        if self._fileno is not None and self._fileno in ready:
            if peer_has_closed(self._fileno):
                return False
            # The client has sent more bytes. Nobody reads them here, so the socket would stay readable for ever.
            self._fileno = None
        return self._disconnected is None or not self._disconnected()

    def write_started(self) -> None:
        """Records that the server begins to write to the client."""
        if self._socket is not None and self._monitor is not None:
            self.write_started_at = monotonic()
            self._monitor.writing_peers.add(self)

    def write_finished(self) -> None:
        """Records that the server has written, or has given up."""
        if self._monitor is not None:
            self._monitor.writing_peers.discard(self)

    def unsent_bytes(self) -> int | None:
        """Returns how many bytes the client has not received; ``None`` if unknown."""
        fileno = _fileno(self._socket)
        return None if fileno is None else unsent_bytes(fileno)

    def hang_up(self) -> None:
        """Shuts the connection down, so that the server's write fails. The server closes the socket."""
        if (fileno := _fileno(self._socket)) is not None:
            hang_up(fileno)


def _fileno(socket: Any) -> int | None:
    try:
        fileno = socket.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return fileno if isinstance(fileno, int) and fileno >= 0 else None


def _fileno_of_uwsgi() -> int | None:
    # uWSGI's own module exists only in its processes. It knows the request of this thread or greenlet.
    try:
        fileno = import_module("uwsgi").connection_fd()
    except (ImportError, AttributeError):
        return None
    return fileno if isinstance(fileno, int) and fileno >= 0 else None
