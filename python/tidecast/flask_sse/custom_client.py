"""A Redis client of the application's own, spoken to as Flask-SSE does: with the same calls, and the same bytes."""

from __future__ import annotations

import contextlib
import json as plain_json
from collections.abc import Generator
from typing import Any

from flask import json

from ..skipped_events import DECODE_ERRORS, log_skipped
from .message import Message
from .redis_py import ConnectionError


def publish(client: Any, message: Message, channel: Any) -> Any:
    """Publish a message; answers with what the client does, which is how many listen on that Redis."""
    return client.publish(channel=channel, message=json.dumps(message.to_dict()))


def messages(client: Any, channel: Any) -> Generator[Message, None, None]:
    """Yields the messages of a channel. What can't be loaded is passed over."""
    pubsub = client.pubsub()
    pubsub.subscribe(channel)
    try:
        for heard in pubsub.listen():
            if heard["type"] != "message":
                continue
            try:
                message = read(heard["data"])
            except DECODE_ERRORS as error:
                log_skipped(channel, error)
                continue
            yield message
    finally:
        with contextlib.suppress(ConnectionError):
            pubsub.unsubscribe(channel)


def read(payload: str | bytes) -> Message:
    """Reads what Flask-SSE writes, an object, or what the older extension does: an array of type and data.

    It is checked as at publishing: anybody who may publish on that Redis can write a line break into a type.

    :raises TypeError, ValueError: It is neither, or its type, id or reconnection time can't be one.
    :raises RecursionError: It is nested too deep.
    """
    value = plain_json.loads(payload)
    if isinstance(value, list):
        event_type, data = value
        message = Message(data, type=event_type)
    else:
        message = Message(**value)
    message.fields()
    return message
