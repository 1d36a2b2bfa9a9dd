"""The backends that carry events, a file each. The settings alone choose one.

Publishing and streaming go through a backend. Nothing outside of this folder asks which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from .._native import EngineStream
from ..hub.hub_stream import HubStream
from . import hub, memory, redis
from .redirect import Redirect as Redirect

if TYPE_CHECKING:
    from .._native import Published
    from ..event import Event
    from ..settings import Settings
    from .stream_query import StreamQuery


#: A stream that is read event by event.
EventReader: TypeAlias = EngineStream | HubStream


class Backend(Protocol):
    """A carrier of events."""

    #: Whether an event that is published here reaches streams of other processes.
    reaches_other_processes: bool

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publishes an event, and waits until it is accepted.

        :raises tidecast.errors.InvalidError: The channel or the event is invalid.
        :raises tidecast.errors.UnavailableError: The backend cannot be reached.
        """
        ...

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> EventReader:
        """Subscribes to channels, to read their events here. Never waits.

        :raises tidecast.errors.InvalidError: A channel is invalid.
        """
        ...

    def open(self, query: StreamQuery, retry_ms: int) -> EngineStream | Redirect:
        """Opens a stream for a browser: a stream to send from here, or a redirect to it. Never waits.

        :param retry_ms: How long the browser waits before it reconnects, in milliseconds. A hub has its own setting.
        :raises tidecast.errors.InvalidError: A channel is invalid.
        """
        ...


def choose(settings: Settings) -> Backend:
    """Returns the backend for these settings. Equal settings share one in each process.

    :raises tidecast.errors.InvalidError: The Redis URL is malformed.
    """
    if settings.hub is not None:
        return hub.backend(settings.hub)
    if settings.redis_url is None:
        return memory.backend()
    return redis.backend(settings.redis_url, settings.plain_format)


def reset() -> None:
    """Ends every backend of this process, with its streams and its connections. The next call starts afresh."""
    for kind in (hub, memory, redis):
        kind.reset()
