"""The one way in which this package waits: ``select.poll``, which gevent replaces.

It is looked up at each call, so it does not matter whether gevent's patch came before this module or after it.
"""

from __future__ import annotations

import select

#: What a descriptor is watched for: that it can be read from, or that its peer has gone.
READABLE = select.POLLIN


def wait(fileno: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor is readable.

    :param fileno: The descriptor.
    :param seconds: How long at most; ``None``, the default, is for ever.
    :return: Whether it is readable; ``False`` when the time is up.
    """
    return bool(wait_any([fileno], seconds))


def wait_any(filenos: list[int], seconds: float | None = None) -> list[int]:
    """Wait until one of several descriptors is readable, or has failed.

    :param filenos: The descriptors.
    :param seconds: How long at most; ``None``, the default, is for ever.
    :return: Those that are; none when the time is up.
    """
    poll = select.poll()
    for fileno in filenos:
        poll.register(fileno, READABLE)
    # Rounded up: a wait of less than a millisecond would be none, and be repeated until the time is up.
    milliseconds = None if seconds is None else max(0, int(seconds * 1000) + 1)
    return [fileno for fileno, _ in poll.poll(milliseconds)]


def is_readable(fileno: int) -> bool:
    """Whether a descriptor is readable, or has failed, without waiting."""
    poll = select.poll()
    poll.register(fileno, READABLE)
    return bool(poll.poll(0))
