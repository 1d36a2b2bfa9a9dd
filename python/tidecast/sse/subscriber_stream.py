"""What a subscriber of a publisher reads: the pieces of an event stream, as text."""

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
    """A generator of lines, one for each of an event and an empty one after it.

    It ends when the publisher is closed, by its subscriber's policy, and with the process, each time after what was
    published before. Unlike a generator that is a function it can be closed while another thread waits for it.
    """

    def __init__(self, entry: SubscriberEntry, abandoned: deque[SubscriberEntry], *, keep_alive_seconds: float) -> None:
        """
        :param entry: Whose stream it is.
        :param abandoned: Where its entry goes if nobody has read or closed it.
        :param keep_alive_seconds: See :meth:`tidecast.sse.Publisher.subscribe`.
        """
        self._entry = entry
        self._let_go = abandoned
        self._begun = False
        self._pieces: deque[str] = deque()
        environ = _environ()
        # Within a request they are those of its application.
        settings = apps.current()[0] if environ is not None else Settings()
        peer = Peer(environ, settings.stall_seconds)
        if peer.disconnect_may_be_unseen:
            apps.warn_disconnects_unseen(settings.max_stream_seconds)
        self._body = StreamBody(
            entry.feed,
            peer,
            keep_alive_seconds=keep_alive_seconds,
            max_seconds=settings.max_stream_seconds if peer.disconnect_may_be_unseen else 0,
            # A server sends the head of its response with the first piece.
            comment_at_start=environ is not None,
        )

    def __next__(self) -> str:
        self._begun = True
        while True:
            try:
                return self._pieces.popleft()
            except IndexError:
                # Whole lines, each with its end. The engine has ended them by this and nothing else.
                self._pieces.extend(f"{line}\n" for line in next(self._body).decode().split("\n")[:-1])

    def send(self, value: Any, /) -> str:
        """The same as ``next``: what is sent means nothing here."""
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None, /) -> str:
        """Close it, and raise what is thrown."""
        self.close()
        return super().throw(typ, val, tb)

    def close(self) -> None:
        """Leave the channels. A thread that waits for the next piece comes to the end."""
        self._begun = True
        self._pieces.clear()
        self._body.close()

    def __del__(self) -> None:
        if self._begun:
            self._entry.feed.close()
        else:
            self._let_go.append(self._entry)


def _environ() -> Mapping[str, Any] | None:
    """The WSGI environment of the request that is served here, where Flask serves it."""
    # Not imported: a program on another framework need not have it.
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    environ: Mapping[str, Any] = flask.request.environ
    return environ
