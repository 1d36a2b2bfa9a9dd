"""ConnectionPool to a hub, kept open between requests.

There is no lock: one that is made before gevent's patch would stop a worker. What several threads share is a deque,
whose ends are taken from and put to in one step.
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

#: How long a connection, or an answer, is waited for, in seconds.
TIMEOUT_SECONDS = 5.0

#: Most connections that are kept. As many more as publish at once are opened, and closed.
IDLE_MAX = 16

#: For how long one is kept that is of no use, in seconds: less than what is between two programs gives it.
IDLE_SECONDS = 30.0

#: Most of an answer that is read, in bytes.
RESPONSE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class HubResponse:
    """What a hub has answered."""

    status: int
    body: bytes


class ConnectionPool:
    """ConnectionPool to a hub.

    After a fork the child has none, and opens its own.

    :param url: The hub's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self.path = parts.hostname or "", parts.port, parts.path
        self._process_pool: _ProcessPool | None = None

    def post(self, path: str, body: bytes, headers: dict[str, str], *, repeatable: bool) -> HubResponse:
        """Post something, and wait for the answer.

        :param path: Under the hub's address.
        :param repeatable: Whether the hub does it once, however often it is asked.
        :raises tidecast.errors.UnavailableError: The hub can't be reached, so it was not asked.
        :raises tidecast.errors.InDoubtError: It did not answer, and may have done it.
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
                raise InDoubtError(f"{self.url} has not answered in {TIMEOUT_SECONDS:g} s") from error
            except (OSError, http.client.HTTPException) as error:
                # One that was kept may have been closed while the request was on its way.
                if is_new or not repeatable:
                    raise InDoubtError(f"the connection to {self.url} was lost: {describe(error)}") from error

    def open(self, kept: _ProcessPool | None = None) -> http.client.HTTPConnection:
        """A new connection, which is not kept.

        :raises tidecast.errors.UnavailableError: The hub can't be reached.
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
            raise UnavailableError(f"{self.url} can't be reached: {describe(error)}") from error
        return connection

    def close(self) -> None:
        """Closes those that are kept."""
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
                    raise TidecastError(f"{self.url} has answered more than a hub does")
                is_good = not response.will_close
            return answer
        finally:
            # Also where a greenlet is stopped: what half an answer is left in must not be another request's.
            if is_good:
                kept.put(connection)
            else:
                connection.close()

    def _current(self) -> _ProcessPool:
        kept = self._process_pool
        if kept is None or kept.pid != os.getpid():
            made = _ProcessPool()
            self._process_pool = made
            if kept is not None:
                # The parent's go on: closing ours says nothing to the hub.
                kept.close()
            return made
        return kept


class _ProcessPool:
    """What one process has."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()
        self._tls: ssl.SSLContext | None = None

    def take(self) -> http.client.HTTPConnection | None:
        """The one that was used last, if it is still of use."""
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            # A hub that is silent may have something to say only after it was asked: else it has hung up.
            if time.monotonic() - since < IDLE_SECONDS and not is_readable(connection.sock.fileno()):
                return connection
            connection.close()

    def put(self, connection: http.client.HTTPConnection) -> None:
        """Keep one."""
        self._idle.append((connection, time.monotonic()))
        if len(self._idle) > IDLE_MAX:
            # Another thread may have taken it meanwhile.
            with contextlib.suppress(IndexError):
                self._idle.popleft()[0].close()

    def tls(self) -> ssl.SSLContext:
        """The settings of TLS. Made once, as it reads the system's authorities."""
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls

    def close(self) -> None:
        """Close all of them."""
        while self._idle:
            self._idle.pop()[0].close()

    __del__ = close


def describe(error: Exception) -> str:
    """An error in words, also where it has none of its own."""
    return str(error) or type(error).__name__
