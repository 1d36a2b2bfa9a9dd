"""Flask-SSE's ``Message``, with the bytes that Flask-SSE writes.

The engine writes its own streams. These bytes are for applications that write a stream themselves.
"""

from __future__ import annotations

from typing import Any

from flask import json

from ..event import check, milliseconds_of, text_of


class Message:
    """Data that is published as a server-sent event.

    :param data: Anything that can be written as JSON. A string is sent as it is.
    :param type: The event's type, which a page passes to ``addEventListener``. Default: none, which a page receives as
        ``message``.
    :param id: The event's own id.
    :param retry: How long a page waits before it reconnects, in milliseconds.
    """

    def __init__(self, data: Any, type: Any = None, id: Any = None, retry: Any = None) -> None:
        self.data = data
        self.type = type
        self.id = id
        self.retry = retry

    def to_dict(self) -> dict[str, Any]:
        """Returns the message as Redis carries it: ``data``, and the other fields that are not empty."""
        present = {name: value for name, value in self._optional() if value}
        return {"data": self.data, **present}

    def _optional(self) -> tuple[tuple[str, Any], ...]:
        return ("type", self.type), ("id", self.id), ("retry", self.retry)

    def __str__(self) -> str:
        """Returns the message as text of an event stream, without a space after the colons, as Flask-SSE writes it.

        :raises TypeError: JSON cannot represent the data, or the type or the id is neither text nor a number.
        :raises tidecast.errors.InvalidError: The type or the id has a control character, or ``retry`` is not a whole
            number of milliseconds.
        """
        event_type, id, retry = self.fields()
        text = self.data if isinstance(self.data, str) else json.dumps(self.data)
        lines = [f"event:{event_type}"] if event_type else []
        lines += [f"data:{line}" for line in text.splitlines()]
        if id:
            lines.append(f"id:{id}")
        if retry:
            lines.append(f"retry:{retry}")
        return "\n".join(lines) + "\n\n"

    def fields(self) -> tuple[str | None, str | None, int | None]:
        """Returns the type, the id and the reconnection time as they are written, none of which can break out of its
        line.

        :raises TypeError, ValueError: See :meth:`__str__`.
        """
        event_type, id = text_of("type", self.type, json.dumps), text_of("id", self.id, json.dumps)
        check("type", event_type)
        check("id", id)
        return event_type, id, milliseconds_of(self.retry)

    def __repr__(self) -> str:
        optional = "".join(f", {name}={value!r}" for name, value in self._optional() if value)
        return f"{type(self).__name__}({self.data!r}{optional})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.__class__) and self.data == other.data and self._optional() == other._optional()

    # As in Flask-SSE: a mutable object is not hashable.
    __hash__ = None  # type: ignore[assignment]
