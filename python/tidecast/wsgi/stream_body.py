"""A stream as the body of a WSGI response.

It holds neither a request nor an application.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from .._native import EngineStream

if TYPE_CHECKING:
    from .._native import Feed
    from .peer import Peer


class StreamBody(Iterator[bytes]):
    """The iterable that a WSGI server sends and closes.

    :param stream: The stream.
    :param peer: The client that receives it.
    :param keep_alive_seconds: A comment is sent after a silence of this many seconds; 0 for never.
    :param max_seconds: When the body ends by itself, in seconds; 0, the default, for never.
    :param comment_at_start: Whether the first comment is sent at once if no data is ready.
    """

    def __init__(
        self,
        stream: EngineStream | Feed,
        peer: Peer,
        *,
        keep_alive_seconds: float,
        max_seconds: float = 0,
        comment_at_start: bool = False,
    ) -> None:
        self._stream = stream
        self._peer = peer
        self._keep_alive_seconds = keep_alive_seconds
        self._sent_at = monotonic()
        self._ends_at = self._sent_at + max_seconds if max_seconds else None
        self._has_ended = False
        if comment_at_start:
            self._sent_at -= keep_alive_seconds

    def __next__(self) -> bytes:
        self._peer.write_finished()
        while True:
            now = monotonic()
            if self._ends_at is not None and now >= self._ends_at:
                break
            data = self._stream.drain()
            if data is None:
                break
            if not data and self._keep_alive_seconds and now >= self._sent_at + self._keep_alive_seconds:
                data = EngineStream.KEEP_ALIVE
            if data:
                self._sent_at = now
                self._peer.write_started()
                return data
            if not self._peer.wait(self._stream.fileno(), self._seconds_left(now)):
                break
        self._has_ended = True
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Ends the stream. The server calls it when the client has disconnected."""
        if not self._has_ended:
            self._has_ended = True
            self._peer.note_early_close()
        self._peer.write_finished()
        self._stream.close()

    def _seconds_left(self, now: float) -> float | None:
        due = [] if self._ends_at is None else [self._ends_at]
        if self._keep_alive_seconds:
            due.append(self._sent_at + self._keep_alive_seconds)
        return max(0.0, min(due) - now) if due else None
