"""The common part of the backends that run an engine in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._native import Engine, EngineStream, PendingPublish, Published
from ..poll import wait

if TYPE_CHECKING:
    from ..event import Event
    from .stream_query import StreamQuery


class EngineBackend:
    """A backend over an engine of this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        #: The last process that had a stream. In the child of a fork it may be the parent.
        self.pid_of_streams: int | None = None

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publishes an event; see :meth:`tidecast.backends.Backend.publish`."""
        published = self.engine.publish(
            channel,
            event.data,
            json=event.json,
            event_type=event.type,
            id=event.id,
            retry_ms=event.retry_ms,
            idempotency_key=idempotency_key,
        )
        return _outcome(published) if isinstance(published, PendingPublish) else published

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> EngineStream:
        """Subscribes to channels; see :meth:`tidecast.backends.Backend.subscribe`."""
        self.pid_of_streams = os.getpid()
        return self.engine.subscribe(channels, after=after, last=last)

    def open(self, query: StreamQuery, retry_ms: int) -> EngineStream:
        """Opens a stream; see :meth:`tidecast.backends.Backend.open`."""
        self.pid_of_streams = os.getpid()
        return self.engine.subscribe(
            query.channels,
            after=query.after,
            last=query.last,
            retry_ms=retry_ms,
            open_event=query.open_event,
            commits_at_empty_line=query.commits_at_empty_line,
        )


def _outcome(pending: PendingPublish) -> Published:
    """Waits for the outcome of a publish. The engine bounds the wait: 5 seconds, or the ``socket_timeout`` of the Redis
    URL."""
    while (published := pending.outcome()) is None:
        wait(pending.fileno())
    return published
