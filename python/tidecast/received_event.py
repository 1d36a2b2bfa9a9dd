"""An event as whoever subscribes receives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Received:
    """An event as whoever subscribes receives it: what a page has of it, and its channel."""

    #: The channel it was published to.
    channel: str

    #: Its type; ``message`` where its publisher gave none. ``stream-reset`` says that events are missing here.
    type: str

    #: Its data, as text.
    data: str

    #: What to pass to :func:`tidecast.subscribe` as ``after``, for the same channels, to go on behind it. On one
    #: channel that is the event's own id, if it has one.
    id: str

    #: What it says of reconnecting, in milliseconds; ``None`` for nothing.
    retry: int | None = None

    def json(self) -> Any:
        """Loads the data as JSON, anew at each call.

        :raises ValueError: It is no JSON, or can't be loaded here: it is nested too deep, or a number has too many
            digits.
        """
        try:
            return json.loads(self.data)
        except RecursionError as error:
            raise ValueError("the data is nested too deep") from error
