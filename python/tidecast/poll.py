"""Waiting for descriptors: by ``select.poll``, which gevent replaces, or by ``select.select`` under eventlet, which
removes ``select.poll``.

Both are looked up at each call, so a monkey patch may come before or after the import of this module.
"""

from __future__ import annotations

import math
import select


def wait(fileno: int, seconds: float | None = None) -> bool:
    """Waits until a descriptor is readable.

    :param fileno: The descriptor.
    :param seconds: The longest wait in seconds. ``None``, the default, waits for ever.
    :return: Whether the descriptor is readable; ``False`` after a time-out.
    """
    return bool(wait_any_readable([fileno], seconds))


def wait_any_readable(filenos: list[int], seconds: float | None = None) -> list[int]:
    """Waits until one of several descriptors is readable, or has failed.

    :param filenos: The descriptors.
    :param seconds: The longest wait in seconds. ``None``, the default, waits for ever.
    :return: The descriptors that are; an empty list after a time-out.
    """
    if not hasattr(select, "poll"):
        return select.select(filenos, [], [], seconds)[0]
    poll = select.poll()
    for fileno in filenos:
        poll.register(fileno, select.POLLIN)
    # Rounded up: a fraction of a millisecond would not wait, and the caller would spin until its time is up.
    milliseconds = None if seconds is None else math.ceil(seconds * 1000)
    return [fileno for fileno, _ in poll.poll(milliseconds)]


def is_readable(fileno: int) -> bool:
    """Returns whether a descriptor is readable, or has failed, without waiting."""
    return wait(fileno, 0)
