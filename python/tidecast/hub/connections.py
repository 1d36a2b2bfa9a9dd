"""A pool of connections to a hub, which stay open between requests.

There is no lock, because one that is created before gevent's patch would block a worker. Threads share a deque, whose
operations are atomic.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import InDoubtError, TidecastError, UnavailableError
from ..poll import is_readable

if TYPE_CHECKING:
    import ssl

#: The time-out of connecting and of a response, in seconds.
TIMEOUT_SECONDS = 5.0

#: Most idle connections that are kept. Further ones are opened on demand, and closed after use.
IDLE_MAX = 16

#: How long an idle connection is kept, in seconds: less than the usual time-outs of proxies.
IDLE_SECONDS = 30.0

#: Most bytes of a response that are read.
RESPONSE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class HubResponse:
    """A hub's response."""

    status: int
    body: bytes


class ConnectionPool:
    """A pool of connections to a hub. The child of a fork starts with an empty pool.

    :param url: The hub's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self.path = parts.hostname or "", parts.port, parts.path
        self._process_pool: _ProcessPool | None = None

    def post(self, path: str, body: bytes, headers: dict[str, str], *, repeatable: bool) -> HubResponse:
        """Sends a POST request, and waits for the response.

        :param path: The path below the hub's address.
        :param repeatable: Whether the request can be repeated without being carried out twice.
        :raises tidecast.errors.UnavailableError: The hub cannot be reached, so the request was not sent.
        :raises tidecast.errors.InDoubtError: No response came, so the request may have been carried out.
        """
        kept = self._current()
        while True:
            connection = kept.take()
            is_new = connection is None
            if connection is None:
                connection = self.open(kept)
            try:
                return self._post_on(kept, connection, path, body, headers)
            except TimeoutError as error:
                raise InDoubtError(f"{self.url} did not respond within {TIMEOUT_SECONDS:g} s") from error
            except (OSError, http.client.HTTPException) as error:
                # The hub may have closed an idle connection while the request was on its way.
                if is_new or not repeatable:
                    raise InDoubtError(f"the connection to {self.url} was lost: {describe(error)}") from error

    def open(self, kept: _ProcessPool | None = None) -> http.client.HTTPConnection:
        """Opens a connection outside of the pool.

        :raises tidecast.errors.UnavailableError: The hub cannot be reached.
        """
        connection: http.client.HTTPConnection
        try:
            if self._is_tls:
                context = (kept or self._current()).tls()
                connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=TIMEOUT_SECONDS, context=context
                )
            else:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
            connection.connect()
        except (OSError, UnicodeError) as error:
            raise UnavailableError(f"{self.url} cannot be reached: {describe(error)}") from error
        return connection

    def close(self) -> None:
        """Closes the idle connections."""
        kept, self._process_pool = self._process_pool, None
        if kept is not None:
            kept.close()

    def _post_on(
        self,
        kept: _ProcessPool,
        connection: http.client.HTTPConnection,
        path: str,
        body: bytes,
        headers: dict[str, str],
    ) -> HubResponse:
        is_good = False
        try:
            connection.request("POST", self.path + path, body, headers)
            with connection.getresponse() as response:
                answer = HubResponse(response.status, response.read(RESPONSE_BYTES_MAX))
                if not response.isclosed() and response.read(1):
                    raise TidecastError(f"{self.url} sent a longer response than a hub does: check SSE_HUB_URL")
                is_good = not response.will_close
            return answer
        finally:
            # Also if a greenlet is killed: a connection with half a response must not serve another request.
            if is_good:
                kept.put(connection)
            else:
                connection.close()

    def _current(self) -> _ProcessPool:
        kept = self._process_pool
        if kept is None or kept.pid != os.getpid():
            created = self._process_pool = _ProcessPool()
            if kept is not None:
                # Closing the child's copies leaves the parent's connections open.
                kept.close()
            return created
        return kept


class _ProcessPool:
    """The idle connections of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()
        self._tls: ssl.SSLContext | None = None

    def take(self) -> http.client.HTTPConnection | None:
        """Removes and returns the connection that was used last; ``None`` if there is no live one."""
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            # A hub sends nothing before a request, so a readable socket means that it has disconnected.
            if time.monotonic() - since < IDLE_SECONDS and not is_readable(connection.sock.fileno()):
                return connection
            connection.close()

    def put(self, connection: http.client.HTTPConnection) -> None:
        """Adds an idle connection, and closes the oldest one above the limit."""
        self._idle.append((connection, time.monotonic()))
        if len(self._idle) > IDLE_MAX:
            # Another thread may have removed the last one.
            with contextlib.suppress(IndexError):
                self._idle.popleft()[0].close()

    def tls(self) -> ssl.SSLContext:
        """Returns the TLS context, which is created once because that reads the system's certificates."""
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop()[0].close()

    __del__ = close


def describe(error: Exception) -> str:
    """Returns the text of an error, or its type's name if it has none."""
    return str(error) or type(error).__name__
