"""PendingPublish from anywhere: a view, a task of Celery, a script, a shell."""

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
    """Publish data as a server-sent event; needs no app context.

    Where the events go is what the current application has set; without one, what the application has that was
    registered last of those that stream in this process; without any, what the environment says under the same names,
    ``SSE_REDIS_URL`` first.

    :param data: Anything that can be written as JSON; a string is sent as it is.
    :param type: The event's type. Default: none, which a page gets as ``message``.
    :param id: The event's own id. Default: its position.
    :param retry: How long a page is to wait before it connects again, in milliseconds.
    :param channel: Who gets it: those who listen to this channel.
    :param idempotency_key: The same key in the same channel within 5 minutes publishes nothing, and answers as the
        first time.
    :raises TypeError: The data can't be written as JSON, or the type or the id is neither text nor a number.
    :raises ValueError: A control character in a type or an id, JSON nested deeper than 128 levels, a channel without a
        name.
    :raises tidecast.errors.UnavailableError: Redis could not be asked.
    """
    settings, dumps = apps.current()
    event = Event.of(data, type, id, retry, dumps)
    return backends.choose(settings).publish(apps.channel_name(channel), event, idempotency_key)
