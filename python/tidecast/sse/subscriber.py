"""The subscribers of a publisher, and the events that wait for them."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._native import Feed
from .channels import Channel

#: Ends a subscriber's stream if it is put into the queue. Compared by identity.
END_STREAM: dict[str, Any] = {}


class SubscriberQueue:
    """The events that wait for a subscriber, with the interface of a queue."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def qsize(self) -> int:
        """Returns how many events wait."""
        return self._feed.waiting()

    def empty(self) -> bool:
        """Returns whether no event waits."""
        return not self.qsize()

    def put(self, item: object) -> None:
        """Ends the stream after the events that wait.

        :param item: :attr:`tidecast.sse.Publisher.END_STREAM`.
        :raises TypeError: The item is anything else.
        """
        if item is not END_STREAM:
            raise TypeError("only Publisher.END_STREAM can be put here: use Publisher.publish for events")
        self._feed.end()


class Subscriber(NamedTuple):
    """A subscriber. It may have left meanwhile."""

    #: The events that wait for it.
    queue: SubscriberQueue

    #: Its properties. A falsy value became an empty dictionary.
    properties: Any


class SubscriberEntry:
    """A subscriber's entry in its publisher. It lives as long as its stream.

    :param feed: The subscriber's feed.
    :param properties: The properties that it subscribed with.
    :param channels: The channels that it named, which live as long as the entry.
    """

    def __init__(self, feed: Feed, properties: Any, channels: list[Channel]) -> None:
        self.feed = feed
        self.subscriber = Subscriber(SubscriberQueue(feed), properties or {})
        self._channels = channels
