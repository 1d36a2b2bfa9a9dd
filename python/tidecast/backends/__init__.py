"""The ways to run, chosen by what is set alone: a file each.

A mode is what publishing and streaming go through. Nothing outside of this folder asks which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from . import hub, memory, redis
from .redirect import Redirect as Redirect

if TYPE_CHECKING:
    from .._native import Published, Selector, Stream
    from ..event import Event
    from ..settings import Settings


class EventReader(Protocol):
    """What is read event by event: a stream of an engine, or a hub's."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something new."""
        ...

    def select(self, selector: Selector, number: int) -> None:
        """Tells a selector when there is something new, as :meth:`tidecast._native.Stream.select` does."""
        ...

    def events(self, events_max: int = 256) -> list[tuple[str, str | None, str, bool, str | None, int | None]] | None:
        """Every event that is ready, as :meth:`tidecast._native.Stream.events` has it."""
        ...

    def cursor(self) -> str | None:
        """What to pass as ``after`` to go on behind what ``events`` has given; ``None`` at the end."""
        ...

    def close(self) -> None:
        """Leave the channels."""
        ...


class Backend(Protocol):
    """What carries the events of this process."""

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publish an event, and wait until it is accepted.

        :raises tidecast.errors.InvalidError: The event can't be one.
        :raises tidecast.errors.UnavailableError: What carries the events can't be asked.
        """
        ...

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> EventReader:
        """Subscribe to channels, to read their events here. Never waits.

        :raises tidecast.errors.InvalidError: A channel can't be one.
        """
        ...

    def open(
        self,
        channels: list[str],
        *,
        after: bytes | None = None,
        last: int | None = None,
        retry_ms: int = 3000,
        open_event: bool = False,
        commits_at_empty_line: bool = True,
    ) -> Stream | Redirect:
        """Open a stream for a browser: one to be sent from here, or where the browser gets it. Never waits.

        :param commits_at_empty_line: See :func:`tidecast._native.commits_at_empty_line`. A hub sees for itself.
        :raises tidecast.errors.InvalidError: A channel can't be one.
        """
        ...

    @property
    def reaches_other_processes(self) -> bool:
        """Whether what is published here reaches streams of other processes too."""
        ...


def choose(settings: Settings) -> Backend:
    """The mode that these settings ask for. The same settings have the same one, for as long as the process lives.

    :raises tidecast.errors.InvalidError: The Redis URL can't be one.
    """
    if settings.hub is not None:
        return hub.backend(settings.hub)
    if settings.redis_url is None:
        return memory.backend()
    return redis.backend(settings.redis_url, settings.plain_format)


def reset() -> None:
    """Ends every mode of this process, its streams and its connections. The next call begins anew."""
    for kind in (hub, memory, redis):
        kind.reset()
