"""The channels of a publisher: names of any kind, and the numbers that the engine knows them by."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Iterable
from weakref import WeakValueDictionary


class Channel:
    """A channel, for as long as somebody has a stream that named it."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


class Channels:
    """The channels of a publisher in one process."""

    def __init__(self) -> None:
        # Held while a channel is made, so not while anybody waits. Entered again where the garbage collector, or a
        # name's own `__eq__`, comes back here.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._by_name: WeakValueDictionary[Hashable, Channel] = WeakValueDictionary()

    def get_or_create(self, channel: str | Iterable[Hashable]) -> list[Channel]:
        """The channels of these names, made where they are not there.

        :param channel: See :func:`names`.
        """
        with self._lock:
            return [self._made(name) for name in names(channel)]

    def numbers(self, channel: str | Iterable[Hashable]) -> list[int]:
        """The numbers of those of these channels that are there.

        :param channel: See :func:`names`.
        """
        found = (self._by_name.get(name) for name in names(channel))
        return [there.number for there in found if there is not None]

    def names(self) -> list[Hashable]:
        """The names of all that are there."""
        with self._lock:
            return list(self._by_name)

    def _made(self, name: Hashable) -> Channel:
        there = self._by_name.get(name)
        if there is None:
            there = self._by_name[name] = Channel(next(self._numbers))
        return there


def names(channel: str | Iterable[Hashable]) -> list[Hashable]:
    """The names that are meant by what is passed for a channel: a string is one, all else has several.

    :raises TypeError: It is neither a string nor can it be iterated over.
    """
    return [channel] if isinstance(channel, str) else list(channel)
