"""Waiting for a condition, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable

from .source import PATIENCE_SECONDS


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds.

    :param condition: Asked every few milliseconds.
    :param what: What is waited for, in words.
    :param seconds: How long at most.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(0.02)
