"""Who is there: what is known about a subscriber, and what waits for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._native import Feed
from .channels import Channel

#: Put into a subscriber's queue it ends its stream. Told by what it is, not by what is in it.
END_STREAM: dict[str, Any] = {}


class SubscriberQueue:
    """What waits for a subscriber to read it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def qsize(self) -> int:
        """How many events that are."""
        return self._feed.waiting()

    def empty(self) -> bool:
        """Whether that is none."""
        return not self.qsize()

    def put(self, item: object) -> None:
        """End the stream after what it has to read.

        :param item: :attr:`tidecast.sse.Publisher.END_STREAM`.
        :raises TypeError: It is something else: events are published.
        """
        if item is not END_STREAM:
            raise TypeError("only Publisher.END_STREAM can be put here: events are published")
        self._feed.end()


class Subscriber(NamedTuple):
    """Somebody who is there. It may have left meanwhile."""

    #: What waits for it.
    queue: SubscriberQueue

    #: What it subscribed with; what was falsy is an empty dictionary.
    properties: Any


class SubscriberEntry:
    """What a publisher keeps of a subscriber, for as long as there is its stream."""

    def __init__(self, feed: Feed, properties: Any, channels: list[Channel]) -> None:
        """
        :param feed: What it reads.
        :param properties: What it subscribed with.
        :param channels: Which it named; they are there for as long as this is.
        """
        self.feed = feed
        self.subscriber = Subscriber(SubscriberQueue(feed), properties or {})
        self._channels = channels
