"""Who publishes to subscribers that differ, in this process: threads and all."""

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

#: The channel of those who name none.
DEFAULT_CHANNEL = "default channel"

#: Most streams that were let go of without a word and are still taken for subscribers.
ABANDONED_MAX = 1000

#: What happens where a subscriber has as much to read as it may.
WhenFull = Literal["drop_oldest", "end", "wait"]


class Publisher:
    """Publishes events to subscribers of this process.

    A channel is named by a string; anything else is several channels, whose names are anything that can be hashed. It
    is there while somebody reads it. What one thread publishes arrives in that order, and what several publish arrives
    in the same order everywhere.

    After a fork the child begins without subscribers; its parent's go on untouched.
    """

    #: Put into the queue of a subscriber it ends its stream.
    END_STREAM: ClassVar[dict[str, Any]] = END_STREAM

    def __init__(self) -> None:
        # By process. A child leaves what is its parent's as it is, neither used nor let go of.
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
        """Subscribe. From this call on what is published is kept for it, not only from when it is read.

        :param channel: A channel, or several. Who names one twice gets everything twice.
        :param properties: What a function is given that is published.
        :param initial_data: What it gets before anything that is published: at most 8 MiB.
        :param when_full: What happens where it has not read as much as is kept. ``drop_oldest``: the oldest goes, and
            in its entry comes an event ``stream-reset`` with data ``{"missed": 3, "reason": "too-slow"}``. ``end``: the
            stream ends after what it has; a browser comes back. ``wait``: who publishes waits.
        :param events_max: How many events are kept; 0 is taken as 1.
        :param bytes_max: How many bytes are kept, as they are sent. A single event may be larger.
        :param keep_alive_seconds: After how long without anything to send a comment is; 0 is never. In a request of
            Flask's the first one comes at once, so that the page hears that it is connected.
        :return: A generator of the lines of an event stream. Whoever closes it, or lets go of it, has left; who lets go
            of it without having read any of it has left by the next publish.
        :raises TypeError: The channel is neither a string nor several, or a name can't be hashed.
        :raises ValueError: ``when_full`` is something else.
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
        """Publish to all who are in a channel.

        :param data: What is sent, as ``str`` has it. A function is called at once with the properties of each who is
            there, and what it returns is sent to that one, unless it is falsy. Where it fails for one, who came before
            has its event.
        :param channel: A channel, or several. Who is in two of them gets it twice.
        :param type: The event's type. Default: none, which a page gets as ``message``.
        :param wait_seconds: How long to wait at most for subscribers with ``when_full="wait"`` that have no room.
            ``None``, the default, is as long as it takes.
        :raises ValueError: The type has a line break, or the event is larger than 1 MiB.
        :raises tidecast.errors.UnavailableError: The time is up. Nobody was given it.
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
        """Those who are in a channel, in the order in which they came.

        :param channel: A channel, or several. Who is in two of them is there twice.
        """
        state = self._state()
        for _, subscriber in state.subscribers(state.channels.numbers(channel)):
            yield subscriber

    def unsubscribe(self, channel: str | Iterable[Hashable] = DEFAULT_CHANNEL, properties: Any = None) -> None:
        """Take subscribers out of a channel. Their streams do not end: a browser whose stream ends comes back by
        itself, and would be in again.

        :param channel: A channel, or several.
        :param properties: Those who subscribed with what is equal to it; ``None``, the default, is all.
        """
        state = self._state()
        channels = state.channels.numbers(channel)
        there = state.subscribers(channels)
        meant = {number for number, who in there if properties is None or who.properties == properties}
        state.native.unsubscribe(channels, meant)

    def close(self) -> None:
        """End the stream of every subscriber, after what was published before. The publisher goes on, with those who
        subscribe later."""
        self._state().native.close()

    @property
    def subscribers_by_channel(self) -> Mapping[Hashable, tuple[Subscriber, ...]]:
        """Those who are in each channel, to be read. A channel that is not there has none."""
        return _SubscribersByChannel(self)

    def _state(self) -> _ProcessState:
        pid = os.getpid()
        # In one step, and without a lock, which a fork might find taken.
        return self._states.get(pid) or self._states.setdefault(pid, _ProcessState())


class _ProcessState:
    """A publisher in one process."""

    def __init__(self) -> None:
        self.native = _native.Publisher()
        self.channels = Channels()
        self.numbers = itertools.count(1)
        #: Weak, so that whoever lets go of a stream has left.
        self.entries: WeakValueDictionary[int, SubscriberEntry] = WeakValueDictionary()
        #: Those whose streams nobody has read, closed or kept. They were subscribers for ever; here they are until
        #: something is published, or there are too many.
        self.abandoned: deque[SubscriberEntry] = deque(maxlen=ABANDONED_MAX)

    def subscribers(self, channels: list[int]) -> Iterator[tuple[int, Subscriber]]:
        for number in self.native.subscribers(channels):
            # One that is still to be handed its stream counts as not there yet.
            if (entry := self.entries.get(number)) is not None:
                yield number, entry.subscriber

    def close_abandoned(self) -> None:
        while self.abandoned:
            # Another thread may have taken the last one.
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


def _wait(posted: int | _native.PendingSend, seconds: float | None) -> None:
    ends_at = None if seconds is None else monotonic() + seconds
    while isinstance(posted, _native.PendingSend) and posted.outcome() is None:
        left = None if ends_at is None else ends_at - monotonic()
        if left is not None and left <= 0:
            raise UnavailableError("a subscriber that publishers wait for has no room; nobody was given the event")
        wait(posted.fileno(), left)
