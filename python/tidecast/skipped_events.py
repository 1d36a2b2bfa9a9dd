"""Events that can't be loaded here: a reader passes over them, and the log counts them."""

from __future__ import annotations

import itertools
import logging

#: What loading an event may raise: it is no JSON or no event, or is nested too deep, or has too many digits.
DECODE_ERRORS = (TypeError, ValueError, RecursionError)

_logger = logging.getLogger("tidecast")

_numbers = itertools.count(1)


def log_skipped(channel: object, error: Exception) -> None:
    """Counts an event that was passed over. The first of this process is told in the log, and then the 10th, the 100th
    and so on, so that a publisher can't fill it.

    :param channel: Its channel, or the channels of its stream.
    :param error: Why it can't be loaded.
    """
    number = next(_numbers)
    if str(number).strip("0") == "1":
        _logger.warning(
            "passed over an event of channel %r that can't be loaded (%d so far): %s", channel, number, error
        )
