"""The one way in which this package waits: ``select.poll``, which gevent replaces, or ``select.select``, which eventlet
replaces and which is all that it leaves there.

They are looked up at each call, so it does not matter whether a patch came before this module or after it.
"""

from __future__ import annotations

import math
import select


def wait(fileno: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor is readable.

    :param fileno: The descriptor.
    :param seconds: How long at most; ``None``, the default, is for ever.
    :return: Whether it is readable; ``False`` when the time is up.
    """
    return bool(wait_any_readable([fileno], seconds))


def wait_any_readable(filenos: list[int], seconds: float | None = None) -> list[int]:
    """Wait until one of several descriptors is readable, or has failed.

    :param filenos: The descriptors.
    :param seconds: How long at most; ``None``, the default, is for ever.
    :return: Those that are; none when the time is up.
    """
    if not hasattr(select, "poll"):
        return select.select(filenos, [], [], seconds)[0]
    poll = select.poll()
    for fileno in filenos:
        # Readable, or its peer has gone.
        poll.register(fileno, select.POLLIN)
    # Rounded up: a wait of less than a millisecond would be none, and be repeated until the time is up.
    milliseconds = None if seconds is None else math.ceil(seconds * 1000)
    return [fileno for fileno, _ in poll.poll(milliseconds)]


def is_readable(fileno: int) -> bool:
    """Returns whether a descriptor is readable, or has failed, without waiting."""
    return bool(wait_any_readable([fileno], 0))
