"""Events that cannot be decoded here: a reader skips them, and the log counts them."""

from __future__ import annotations

import itertools
import logging

#: The exceptions of decoding an event: it is not JSON or not an event, is nested too deep, or has too long a number.
DECODE_ERRORS = (TypeError, ValueError, RecursionError)

_logger = logging.getLogger("tidecast")

_counter = itertools.count(1)


def log_skipped(channel: object, error: Exception) -> None:
    """Counts an event that was skipped. The first of the process is logged, then the 10th, the 100th and so on, so that
    a publisher cannot flood the log.

    :param channel: The event's channel, or the channels of its stream.
    :param error: The exception of decoding it.
    """
    count = next(_counter)
    if str(count).strip("0") == "1":
        _logger.warning("skipped an event of channel %r that cannot be decoded (%d so far): %s", channel, count, error)
