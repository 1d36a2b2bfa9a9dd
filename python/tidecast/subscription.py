"""Listening from anywhere: by ``async for`` under asyncio, by ``for`` in a thread, a greenlet or a script."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

from . import apps, backends
from .errors import InvalidError
from .poll import wait
from .received_event import Received

#: Most of the newest events of each channel that one may begin with.
LAST_MAX = 1000

#: How many events one task takes before others have their turn, where more are there than it can read.
EVENTS_PER_TURN = 256


def subscribe(
    channel: str | Iterable[str] = "sse", *, after: str | None = None, last: int | None = None
) -> Subscription:
    """Subscribe to a channel, or to several; needs no app context, and never waits.

    Where the events come from is what :func:`tidecast.publish` goes by.

    .. code-block:: python

        async for event in tidecast.subscribe("news"):
            print(event.type, event.data)

    :param channel: A channel, or up to 64.
    :param after: The ``id`` of an event: begin with what followed it. What is gone by now is told by an event of type
        ``stream-reset``.
    :param last: Without ``after``: begin with the newest so many of each channel, at most 1,000. Default: 0.
    :raises ValueError: A channel that can't be one, or too many, or another ``last``.
    :raises TypeError: ``after`` is not a string.
    """
    names = [channel] if isinstance(channel, (str, bytes, int, float)) else list(channel)
    channels = [apps.channel_name(name) for name in names]
    # Here, as a hub would say it only once it is asked.
    if last is not None and not 0 <= last <= LAST_MAX:
        raise InvalidError(f"last must be 0 to {LAST_MAX}, not {last!r}")
    if after is not None and not isinstance(after, str):
        raise TypeError(f"after must be a string, the id of an event, not {after!r}")
    settings, _ = apps.current()
    resumed = after.encode() if after else None
    return Subscription(backends.choose(settings).subscribe(channels, after=resumed, last=last), channels)


class Subscription(AsyncIterator[Received], Iterator[Received]):
    """Events as they come; made by :func:`tidecast.subscribe`.

    It ends when it is closed, from whichever task or thread, and when the process is told to end by SIGTERM, after what
    was published before. Used as a context manager, or forgotten, it is closed. In the child of a fork it has ended.

    A task that is cancelled while it waits has taken nothing: whoever reads on misses no event.
    """

    def __init__(self, stream: backends.EventReader, channels: list[str]) -> None:
        """This is for internal use. Its signature may change at any time."""
        self._stream = stream
        self._has_one_channel = len(set(channels)) == 1
        self._is_awaited = False
        self._in_turn = 0
        #: What was read and not told yet.
        self._pending: deque[Received] = deque()

    async def __anext__(self) -> Received:
        """Wait for the next event, as a task of asyncio.

        :raises RuntimeError: Another task waits for it.
        """
        if self._is_awaited:
            raise RuntimeError("another task waits for this subscription: subscribe in each")
        # Imported where it is run: a program without asyncio should not have to load it.
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
        """Wait for the next event, as a thread or a greenlet."""
        try:
            while (event := self._next()) is None:
                wait(self._stream.fileno())
        except _EndOfStream:
            raise StopIteration from None
        return event

    def close(self) -> None:
        """End it, and wake whoever waits for it. Closing it again does nothing."""
        self._stream.close()

    async def aclose(self) -> None:
        """The same, for those who expect something to await."""
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
        """The next event; ``None`` where there is none yet.

        :raises _EndOfStream: There will be none.
        """
        if not self._pending:
            # One at a time, so that where the stream stands is behind it. Several may come all the same: what was
            # missed on several channels.
            events = self._stream.events(1)
            if events is None:
                raise _EndOfStream
            self._pending.extend(self._received(*event) for event in events)
        return self._pending.popleft() if self._pending else None

    def _received(
        self, channel: str, event_type: str | None, data: str, _: bool, own_id: str | None, retry_ms: int | None
    ) -> Received:
        # What the wire has as `id:`, so it is also what a page can resume by.
        id = own_id if own_id is not None and self._has_one_channel else self._stream.cursor()
        return Received(channel, event_type or "message", data, id or "", retry_ms)


class _EndOfStream(Exception):
    """There is nothing more to read."""
