"""What the older extension of that name had: `send_event`."""

from __future__ import annotations

from typing import Any

from flask import json

from .. import apps
from ..event import Event
from .blueprint import current_backend, current_settings


def send_event(event_name: Any, data: Any, channel: Any = "sse") -> None:
    """Send an event to whoever listens to a channel.

    :param event_name: The event's type.
    :param data: A string, or a list of them, which are the lines of one; anything else is sent as JSON.
    :param channel: Who gets it.
    :raises TypeError: The data can't be written as JSON, or the name is neither text nor a number.
    :raises ValueError: A name with a line break, a channel without one.
    :raises tidecast.errors.UnavailableError: Redis could not be asked.
    """
    if isinstance(data, (list, tuple)) and data and all(isinstance(line, str) for line in data):
        data = "\n".join(data)
    event = Event.of(data, event_name, None, None, json.dumps)
    current_backend(current_settings()).publish(apps.channel_name(channel), event)
