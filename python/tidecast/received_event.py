"""An event as a subscriber receives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Received:
    """An event as a subscriber receives it: the fields that a page has, and the channel."""

    #: The channel to which it was published.
    channel: str

    #: Its type; ``message`` if it has none. A ``stream-reset`` reports that events are missing here.
    type: str

    #: Its data, as text.
    data: str

    #: The ``after`` for :func:`tidecast.subscribe` to the same channels that resumes after this event. On one channel
    #: it is the event's own id, if it has one.
    id: str

    #: Its reconnection time in milliseconds; ``None`` if it has none.
    retry: int | None = None

    def json(self) -> Any:
        """Loads the data as JSON, again at each call.

        :raises ValueError: The data is not JSON, is nested too deep, or has a number with too many digits.
        """
        try:
            return json.loads(self.data)
        except RecursionError as error:
            raise ValueError("the data is nested too deep") from error
