"""The channels of a publisher: names of any hashable type, and the numbers by which the engine knows them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Iterable
from weakref import WeakValueDictionary


class Channel:
    """A channel. It lives as long as a stream of a subscriber that named it."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


class Channels:
    """The channels of a publisher in one process."""

    def __init__(self) -> None:
        # Held while a channel is created, never while waiting. Reentrant, because the garbage collector or a name's own
        # `__eq__` may call back here.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._by_name: WeakValueDictionary[Hashable, Channel] = WeakValueDictionary()

    def get_or_create(self, channel: str | Iterable[Hashable]) -> list[Channel]:
        """Returns the channels of these names, and creates those that do not exist.

        :param channel: See :func:`channel_names`.
        """
        with self._lock:
            return [self._get_or_create(name) for name in channel_names(channel)]

    def numbers(self, channel: str | Iterable[Hashable]) -> list[int]:
        """Returns the numbers of the channels that exist.

        :param channel: See :func:`channel_names`.
        """
        found = (self._by_name.get(name) for name in channel_names(channel))
        return [known.number for known in found if known is not None]

    def names(self) -> list[Hashable]:
        """Returns the names of all channels."""
        with self._lock:
            return list(self._by_name)

    def _get_or_create(self, name: Hashable) -> Channel:
        channel = self._by_name.get(name)
        if channel is None:
            channel = self._by_name[name] = Channel(next(self._numbers))
        return channel


def channel_names(channel: str | Iterable[Hashable]) -> list[Hashable]:
    """Returns the names in an argument ``channel``: a string is one name, anything else an iterable of names.

    :raises TypeError: The argument is neither a string nor iterable.
    """
    return [channel] if isinstance(channel, str) else list(channel)
