"""Reading events anywhere: by ``async for`` under asyncio, by ``for`` in a thread, a greenlet or a script."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

from . import apps, backends
from .errors import InvalidError
from .poll import wait
from .received_event import Received

#: Most of the newest events of each channel that a subscription may begin with.
LAST_MAX = 1000

#: How many events of a backlog a task reads before it yields to other tasks.
EVENTS_PER_TURN = 256


def subscribe(
    channel: str | Iterable[str] = "sse", *, after: str | None = None, last: int | None = None
) -> Subscription:
    """Subscribes to one or several channels, without waiting. No application context is needed.

    The settings apply as for :func:`tidecast.publish`.

    .. code-block:: python

        async for event in tidecast.subscribe("news"):
            print(event.type, event.data)

    :param channel: A channel, or up to 64.
    :param after: The ``id`` of an event: begin with the event after it. If events since then are gone, an event of type
        ``stream-reset`` reports it.
    :param last: Without ``after``: begin with this many of the newest events of each channel, from 0 to 1,000. Default:
        0.
    :raises ValueError: A channel's name is malformed, there are too many channels, or ``last`` is out of range.
    :raises TypeError: ``after`` is not a string.
    """
    names = [channel] if isinstance(channel, (str, bytes, int, float)) else list(channel)
    channels = [apps.channel_name(name) for name in names]
    # Checked here, because a hub would report it only with the first event.
    if last is not None and not 0 <= last <= LAST_MAX:
        raise InvalidError(f"last must be 0 to {LAST_MAX}, not {last!r}")
    if after is not None and not isinstance(after, str):
        raise TypeError(f"after must be a string, the id of an event, not {after!r}")
    settings, _ = apps.current()
    resumed = after.encode() if after else None
    return Subscription(backends.choose(settings).subscribe(channels, after=resumed, last=last), channels)


class Subscription(AsyncIterator[Received], Iterator[Received]):
    """An iterator over events as they arrive, created by :func:`tidecast.subscribe`.

    It ends when any task or thread closes it, and when the process receives SIGTERM, in both cases after the events
    that were published before. It is closed at the end of a ``with`` block, and when it is garbage collected. In the
    child of a fork it has ended.

    A task that is cancelled while it waits consumes nothing: the next one receives the event.
    """

    def __init__(self, stream: backends.EventReader, channels: list[str]) -> None:
        """Creates a subscription. For internal use: the signature may change at any time."""
        self._stream = stream
        self._has_one_channel = len(set(channels)) == 1
        self._is_awaited = False
        self._in_turn = 0
        #: Events that were read and not returned yet.
        self._pending: deque[Received] = deque()

    async def __anext__(self) -> Received:
        """Waits for the next event in a task of asyncio.

        :raises RuntimeError: Another task is waiting.
        """
        if self._is_awaited:
            raise RuntimeError("another task waits for this subscription: subscribe in each task")
        # Imported on use, so that a program without asyncio does not load it.
        from . import event_loop

        self._is_awaited = True
        try:
            if self._in_turn >= EVENTS_PER_TURN:
                await event_loop.sleep(0)
                self._in_turn = 0
            while (event := self._next()) is None:
                await event_loop.wait_readable(self._stream)
                self._in_turn = 0
        except _EndOfStream:
            raise StopAsyncIteration from None
        finally:
            self._is_awaited = False
        self._in_turn += 1
        return event

    def __next__(self) -> Received:
        """Waits for the next event in a thread or a greenlet."""
        try:
            while (event := self._next()) is None:
                wait(self._stream.fileno())
        except _EndOfStream:
            raise StopIteration from None
        return event

    def close(self) -> None:
        """Ends the subscription, and wakes the task or thread that waits for it. Closing it again does nothing."""
        self._stream.close()

    async def aclose(self) -> None:
        """Ends the subscription, as :meth:`close` does."""
        self.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Received | None:
        """Returns the next event; ``None`` if there is none yet.

        :raises _EndOfStream: The stream has ended.
        """
        if not self._pending:
            # One at a time, so that the cursor is right after it. A reset on several channels still arrives as several
            # events.
            events = self._stream.events(1)
            if events is None:
                raise _EndOfStream
            self._pending.extend(self._received(*event) for event in events)
        return self._pending.popleft() if self._pending else None

    def _received(
        self, channel: str, event_type: str | None, data: str, _: bool, own_id: str | None, retry_ms: int | None
    ) -> Received:
        # The same id as on the wire, with which a page resumes.
        id = own_id if own_id is not None and self._has_one_channel else self._stream.cursor()
        return Received(channel, event_type or "message", data, id or "", retry_ms)


class _EndOfStream(Exception):
    """The stream has ended."""
