"""A publisher whose subscribers differ, in one process. It is safe to use from several threads."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar, Literal
from weakref import WeakValueDictionary

from .. import _native
from ..errors import UnavailableError
from ..poll import wait
from .channels import Channels
from .subscriber import END_STREAM, Subscriber, SubscriberEntry
from .subscriber_stream import SubscriberStream

#: The default channel.
DEFAULT_CHANNEL = "default channel"

#: Most streams that were dropped unread and still count as subscribers.
ABANDONED_MAX = 1000

#: What happens if a subscriber has as much unread as is kept for it.
WhenFull = Literal["drop_oldest", "end", "wait"]


class Publisher:
    """A publisher for subscribers of this process.

    A channel is named by a string; anything else is an iterable of several names, each of any hashable type. A channel
    exists while a subscriber reads it. Events of one thread arrive in their order, and events of several threads in the
    same order everywhere.

    After a fork the child starts without subscribers. The parent's are not affected.
    """

    #: Ends a subscriber's stream if it is put into the subscriber's queue.
    END_STREAM: ClassVar[dict[str, Any]] = END_STREAM

    def __init__(self) -> None:
        # By process id. A child neither uses nor drops its parent's state.
        self._states: dict[int, _ProcessState] = {}

    def subscribe(
        self,
        channel: str | Iterable[Hashable] = DEFAULT_CHANNEL,
        properties: Any = None,
        initial_data: Iterable[Any] = (),
        *,
        when_full: WhenFull = "drop_oldest",
        events_max: int = 1000,
        bytes_max: int = 1024 * 1024,
        keep_alive_seconds: float = 8,
    ) -> SubscriberStream:
        """Subscribes to a channel. Events are kept for the subscriber from this call on, even before it reads.

        :param channel: A channel, or several. A subscriber that names one twice receives its events twice.
        :param properties: The argument of functions that are published.
        :param initial_data: Events that the subscriber receives first: at most 8 MiB.
        :param when_full: What happens if the subscriber has as much unread as is kept. ``drop_oldest``: the oldest
            event is dropped, and an event ``stream-reset`` with data ``{"missed": 3, "reason": "too-slow"}`` takes its
            place. ``end``: the stream ends after the events that are kept; a browser reconnects. ``wait``: publishing
            waits.
        :param events_max: How many events are kept; 0 counts as 1.
        :param bytes_max: How many bytes are kept, as they are sent. A single event may be larger.
        :param keep_alive_seconds: A comment is sent after a silence of this many seconds; 0 for never. In a request of
            Flask the first comment is sent at once, so that the page knows that it is connected.
        :return: A generator of the lines of an event stream. Closing or dropping it unsubscribes; if it is dropped
            unread, the next publish does.
        :raises TypeError: The channel is neither a string nor iterable, or a name is not hashable.
        :raises ValueError: ``when_full`` is invalid.
        :raises tidecast.errors.TooLargeError: The initial data is too large.
        """
        state = self._state()
        initial = [str(data) for data in initial_data]
        channels = state.channels.get_or_create(channel)
        number = next(state.numbers)
        feed = state.native.subscribe(
            [named.number for named in channels],
            number,
            initial,
            events_max=events_max,
            bytes_max=bytes_max,
            when_full=when_full,
        )
        entry = state.entries[number] = SubscriberEntry(feed, properties, channels)
        return SubscriberStream(entry, state.abandoned, keep_alive_seconds=keep_alive_seconds)

    def publish(
        self,
        data: Any,
        channel: str | Iterable[Hashable] = DEFAULT_CHANNEL,
        *,
        type: str | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        """Publishes to the subscribers of a channel.

        :param data: The data, which ``str`` converts. A function is called at once with the properties of each
            subscriber, and its result is sent to that one, unless it is falsy. If it raises, the subscribers before
            have their event.
        :param channel: A channel, or several. A subscriber of two of them receives the event twice.
        :param type: The event's type. Default: none, which a page receives as ``message``.
        :param wait_seconds: The longest wait for subscribers with ``when_full="wait"`` that are full, in seconds.
            ``None``, the default, waits for ever.
        :raises ValueError: The type has a line break, or the event is larger than 1 MiB.
        :raises tidecast.errors.UnavailableError: The time is up. Nobody has received the event.
        """
        state = self._state()
        state.close_abandoned()
        if not (channels := state.channels.numbers(channel)):
            return
        if not callable(data):
            _wait(state.native.publish(channels, str(data), event_type=type), wait_seconds)
            return
        made: list[tuple[int, str]] = []
        try:
            for number, subscriber in state.subscribers(channels):
                if value := data(subscriber.properties):
                    made.append((number, str(value)))
        finally:
            _wait(state.native.publish_each(channels, made, event_type=type), wait_seconds)

    def get_subscribers(self, channel: str | Iterable[Hashable] = DEFAULT_CHANNEL) -> Iterator[Subscriber]:
        """Yields the subscribers of a channel, in the order in which they subscribed.

        :param channel: A channel, or several. A subscriber of two of them is yielded twice.
        """
        state = self._state()
        for _, subscriber in state.subscribers(state.channels.numbers(channel)):
            yield subscriber

    def unsubscribe(self, channel: str | Iterable[Hashable] = DEFAULT_CHANNEL, properties: Any = None) -> None:
        """Removes subscribers from a channel. Their streams stay open, because a browser would reconnect and subscribe
        again.

        :param channel: A channel, or several.
        :param properties: Only subscribers with equal properties. ``None``, the default, means all.
        """
        state = self._state()
        channels = state.channels.numbers(channel)
        matching = {
            number
            for number, subscriber in state.subscribers(channels)
            if properties is None or subscriber.properties == properties
        }
        state.native.unsubscribe(channels, matching)

    def close(self) -> None:
        """Ends the stream of every subscriber, after the events published before. The publisher can still be used."""
        self._state().native.close()

    @property
    def subscribers_by_channel(self) -> Mapping[Hashable, tuple[Subscriber, ...]]:
        """Returns the subscribers by channel, as a read-only mapping. A channel that does not exist has none."""
        return _SubscribersByChannel(self)

    def _state(self) -> _ProcessState:
        pid = os.getpid()
        # Atomic without a lock, which a fork might find taken.
        return self._states.get(pid) or self._states.setdefault(pid, _ProcessState())


class _ProcessState:
    """The state of a publisher in one process."""

    def __init__(self) -> None:
        self.native = _native.Publisher()
        self.channels = Channels()
        self.numbers = itertools.count(1)
        #: Weak, so that dropping a stream unsubscribes.
        self.entries: WeakValueDictionary[int, SubscriberEntry] = WeakValueDictionary()
        #: Subscribers whose streams were dropped unread. They count until the next publish, or until there are too
        #: many.
        self.abandoned: deque[SubscriberEntry] = deque(maxlen=ABANDONED_MAX)

    def subscribers(self, channels: list[int]) -> Iterator[tuple[int, Subscriber]]:
        for number in self.native.subscribers(channels):
            # A subscriber without an entry is still subscribing.
            if (entry := self.entries.get(number)) is not None:
                yield number, entry.subscriber

    def close_abandoned(self) -> None:
        while self.abandoned:
            # Another thread may have removed the last one.
            with suppress(IndexError):
                self.abandoned.popleft().feed.close()


class _SubscribersByChannel(Mapping[Hashable, tuple[Subscriber, ...]]):
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def __getitem__(self, name: Hashable) -> tuple[Subscriber, ...]:
        return tuple(self._publisher.get_subscribers([name]))

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[Hashable]:
        return self._publisher._state().channels.names()


def _wait(sent: int | _native.PendingSend, seconds: float | None) -> None:
    ends_at = None if seconds is None else monotonic() + seconds
    while isinstance(sent, _native.PendingSend) and sent.outcome() is None:
        left = None if ends_at is None else ends_at - monotonic()
        if left is not None and left <= 0:
            raise UnavailableError(f"a subscriber had no room for {seconds:g} s, so nobody has received the event")
        wait(sent.fileno(), left)
