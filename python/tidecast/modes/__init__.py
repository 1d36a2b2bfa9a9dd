"""The ways to run, chosen by what is set alone: a file each.

A mode is what publishing and streaming go through. Nothing outside of this folder asks which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from . import memory, redis

if TYPE_CHECKING:
    from .._native import Published, Stream
    from ..event import Event
    from ..settings import Settings


class Mode(Protocol):
    """What carries the events of this process."""

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publish an event, and wait until it is accepted.

        :raises tidecast.errors.InvalidError: The event can't be one.
        :raises tidecast.errors.UnavailableError: What carries the events can't be asked.
        """
        ...

    def subscribe(
        self,
        channels: list[str],
        *,
        after: bytes | None = None,
        last: int | None = None,
        retry_ms: int = 3000,
        open_event: bool = False,
    ) -> Stream:
        """Subscribe to channels. Never waits.

        :raises tidecast.errors.InvalidError: A channel can't be one.
        """
        ...

    @property
    def crosses_processes(self) -> bool:
        """Whether what is published here reaches streams of other processes too."""
        ...


def choose(settings: Settings) -> Mode:
    """The mode that these settings ask for. The same settings have the same one, for as long as the process lives.

    :raises tidecast.errors.InvalidError: The Redis URL can't be one.
    """
    if settings.redis_url is None:
        return memory.mode()
    return redis.mode(settings.redis_url, settings.plain_format)
