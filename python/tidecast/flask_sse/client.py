"""A Redis client of the application's own, spoken to as Flask-SSE does: with the same calls, and the same bytes."""

from __future__ import annotations

import contextlib
import json as plain_json
import logging
from collections.abc import Generator
from typing import Any

from flask import json

from .message import Message
from .redis_py import ConnectionError

_logger = logging.getLogger("tidecast")


def publish(client: Any, message: Message, channel: Any) -> Any:
    """Publish a message; answers with what the client does, which is how many listen on that Redis."""
    return client.publish(channel=channel, message=json.dumps(message.to_dict()))


def messages(client: Any, channel: Any) -> Generator[Message, None, None]:
    """The messages of a channel. What is none is passed over, and said in the log."""
    pubsub = client.pubsub()
    pubsub.subscribe(channel)
    try:
        for heard in pubsub.listen():
            if heard["type"] != "message":
                continue
            try:
                message = read(heard["data"])
            except (TypeError, ValueError) as error:
                _logger.warning("passed over what is no message in channel %r: %s", channel, error)
                continue
            yield message
    finally:
        with contextlib.suppress(ConnectionError):
            pubsub.unsubscribe(channel)


def read(payload: str | bytes) -> Message:
    """Read what Flask-SSE writes, an object, or what the older extension does: an array of type and data.

    :raises TypeError, ValueError: It is neither.
    """
    value = plain_json.loads(payload)
    if isinstance(value, list):
        event_type, data = value
        return Message(data, type=event_type)
    return Message(**value)
