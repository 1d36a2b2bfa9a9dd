"""What the modes over an engine of this process have in common."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._native import Engine, PendingPublish, Published, Stream
from ..poll import wait

if TYPE_CHECKING:
    from ..event import Event


class EngineBackend:
    """A mode over an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        #: The process that has had a stream last; in a child it may be its parent.
        self.pid_of_streams: int | None = None

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """See :class:`tidecast.backends.Backend`."""
        answer = self.engine.publish(
            channel,
            event.data,
            json=event.json,
            event_type=event.type,
            id=event.id,
            retry_ms=event.retry_ms,
            idempotency_key=idempotency_key,
        )
        return finished(answer) if isinstance(answer, PendingPublish) else answer

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> Stream:
        """See :class:`tidecast.backends.Backend`."""
        self.pid_of_streams = os.getpid()
        return self.engine.subscribe(channels, after=after, last=last)

    def open(
        self,
        channels: list[str],
        *,
        after: bytes | None = None,
        last: int | None = None,
        retry_ms: int = 3000,
        open_event: bool = False,
        commits_at_empty_line: bool = True,
    ) -> Stream:
        """See :class:`tidecast.backends.Backend`: it is sent from here."""
        self.pid_of_streams = os.getpid()
        return self.engine.subscribe(
            channels,
            after=after,
            last=last,
            retry_ms=retry_ms,
            open_event=open_event,
            commits_at_empty_line=commits_at_empty_line,
        )


def finished(publishing: PendingPublish) -> Published:
    """Wait for what comes of a publish. It comes in any case: the engine gives Redis 5 seconds, or the URL's
    ``socket_timeout``."""
    while (published := publishing.outcome()) is None:
        wait(publishing.fileno())
    return published
