"""The stream that a subscriber of a publisher reads, as text."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any

from .. import apps
from ..settings import Settings
from ..wsgi.peer import Peer
from ..wsgi.stream_body import StreamBody
from .subscriber import SubscriberEntry


class SubscriberStream(Generator[str, None, None]):
    """A generator of the lines of an event stream, with an empty line after each event.

    It ends after the events that were published before: when the publisher is closed, by the subscriber's
    ``when_full``, and with the process. Unlike a generator function's it may be closed while another thread waits for
    it.

    :param entry: The subscriber.
    :param abandoned: Receives the entry if the stream is dropped without having been read or closed.
    :param keep_alive_seconds: See :meth:`tidecast.sse.Publisher.subscribe`.
    """

    def __init__(self, entry: SubscriberEntry, abandoned: deque[SubscriberEntry], *, keep_alive_seconds: float) -> None:
        self._entry = entry
        self._abandoned = abandoned
        self._begun = False
        self._lines: deque[str] = deque()
        environ = _environ()
        # Only a request has an application whose settings apply.
        settings = apps.current()[0] if environ is not None else Settings()
        peer = Peer(environ, settings.stall_seconds)
        max_seconds: float = 0
        if peer.disconnect_may_be_unseen:
            apps.warn_disconnects_unseen(settings.max_stream_seconds)
            max_seconds = settings.max_stream_seconds
        self._body = StreamBody(
            entry.feed,
            peer,
            keep_alive_seconds=keep_alive_seconds,
            max_seconds=max_seconds,
            # A server sends the response's head with the first piece.
            comment_at_start=environ is not None,
        )

    def __next__(self) -> str:
        self._begun = True
        while True:
            try:
                return self._lines.popleft()
            except IndexError:
                # The engine drains whole lines, and ends them with LF alone.
                self._lines.extend(f"{line}\n" for line in next(self._body).decode().split("\n")[:-1])

    def send(self, value: Any, /) -> str:
        """Returns the next line. The value is ignored."""
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None, /) -> str:
        """Closes the stream, and raises the exception."""
        self.close()
        return super().throw(typ, val, tb)

    def close(self) -> None:
        """Leaves the channels. A thread that waits for the next line comes to the end."""
        self._begun = True
        self._lines.clear()
        self._body.close()

    def __del__(self) -> None:
        if self._begun:
            self._entry.feed.close()
        else:
            self._abandoned.append(self._entry)


def _environ() -> Mapping[str, Any] | None:
    """Returns the WSGI environment of the request that Flask is serving here; ``None`` for none."""
    # Not imported: a program on another framework may not have Flask.
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    environ: Mapping[str, Any] = flask.request.environ
    return environ
