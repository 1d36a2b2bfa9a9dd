"""A custom Redis client of the application, used as Flask-SSE uses it: with the same calls, and the same bytes."""

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
    """Publishes a message. Returns the client's result, which is the number of subscribers on that Redis."""
    return client.publish(channel=channel, message=json.dumps(message.to_dict()))


def messages(client: Any, channel: Any) -> Generator[Message, None, None]:
    """Yields the messages of a channel. Those that cannot be decoded are skipped."""
    pubsub = client.pubsub()
    pubsub.subscribe(channel)
    try:
        for item in pubsub.listen():
            if item["type"] != "message":
                continue
            try:
                message = decode(item["data"])
            except DECODE_ERRORS as error:
                log_skipped(channel, error)
                continue
            yield message
    finally:
        with contextlib.suppress(ConnectionError):
            pubsub.unsubscribe(channel)


def decode(payload: str | bytes) -> Message:
    """Decodes an object, as Flask-SSE writes it, or an array of type and data, as the legacy extension does.

    Its fields are checked as in publishing, because any program on that Redis can write a line break into a type.

    :raises TypeError, ValueError: The payload is neither, or its type, id or reconnection time is invalid.
    :raises RecursionError: The payload is nested too deep.
    """
    value = plain_json.loads(payload)
    if isinstance(value, list):
        event_type, data = value
        message = Message(data, type=event_type)
    else:
        message = Message(**value)
    message.fields()
    return message
