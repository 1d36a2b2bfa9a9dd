"""Waiting for a condition, with a time-out."""

from __future__ import annotations

import time
from collections.abc import Callable

from .source import PATIENCE_SECONDS


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until a condition holds, and fails after a time-out.

    :param condition: Called every few milliseconds.
    :param what: The condition in words.
    :param seconds: The time-out in seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"timed out after {seconds} s: {what}"
        time.sleep(0.02)
