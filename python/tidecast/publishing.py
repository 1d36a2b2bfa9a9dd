"""Publishing from anywhere: a view, a Celery task, a script, a shell."""

from __future__ import annotations

from typing import Any

from . import apps, backends
from ._native import Published
from .event import Event


def publish(
    data: Any,
    type: str | None = None,
    id: str | int | None = None,
    retry: int | None = None,
    channel: str = "sse",
    *,
    idempotency_key: str | None = None,
) -> Published:
    """Publishes data as a server-sent event. No application context is needed.

    The settings of the current application decide where the event goes. Without one, those of the application that was
    registered last in this process apply; without any, those of the environment, under the same names.

    :param data: Anything that can be written as JSON. A string is sent as it is.
    :param type: The event's type. Default: none, which a page receives as ``message``.
    :param id: The event's own id. Default: its position.
    :param retry: How long a page waits before it reconnects, in milliseconds.
    :param channel: The channel whose subscribers receive the event.
    :param idempotency_key: If the key was used in the channel within 5 minutes, nothing is published, and the first
        result is returned.
    :raises TypeError: JSON cannot represent the data, or the type or the id is neither text nor a number.
    :raises ValueError: The type or the id has a control character, the JSON is nested deeper than 128 levels, or the
        channel's name is empty or malformed.
    :raises tidecast.errors.UnavailableError: Redis or the hub could not be reached.
    """
    settings, dumps = apps.current()
    event = Event.of(data, type, id, retry, dumps)
    return backends.choose(settings).publish(apps.channel_name(channel), event, idempotency_key)
