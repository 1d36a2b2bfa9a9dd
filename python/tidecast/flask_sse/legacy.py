"""The interface of the legacy extension that was also called Flask-SSE: ``send_event``."""

from __future__ import annotations

from typing import Any

from flask import json

from .. import apps
from ..event import Event
from .blueprint import current_backend, current_settings


def send_event(event_name: Any, data: Any, channel: Any = "sse") -> None:
    """Sends an event to the subscribers of a channel.

    :param event_name: The event's type.
    :param data: A string, or a list of strings, which become the lines of one. Anything else is sent as JSON.
    :param channel: The channel.
    :raises TypeError: JSON cannot represent the data, or the type is neither text nor a number.
    :raises ValueError: The type has a line break, or the channel's name is empty or malformed.
    :raises tidecast.errors.UnavailableError: Redis or the hub could not be reached.
    """
    if isinstance(data, (list, tuple)) and data and all(isinstance(line, str) for line in data):
        data = "\n".join(data)
    event = Event.of(data, event_name, None, None, json.dumps)
    current_backend(current_settings()).publish(apps.channel_name(channel), event)
