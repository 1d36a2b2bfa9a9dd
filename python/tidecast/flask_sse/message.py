"""An event as Flask-SSE has it, and its bytes as Flask-SSE writes them.

Streams of the engine are written by the engine; these bytes are for those who write a stream themselves.
"""

from __future__ import annotations

from typing import Any

from flask import json


class Message:
    """Data that is published as a server-sent event.

    :param data: Anything that can be written as JSON; a string is sent as it is.
    :param type: What a page passes to ``addEventListener``; without one it is ``message``.
    :param id: The event's own id.
    :param retry: How long a page is to wait before it connects again, in milliseconds.
    """

    def __init__(self, data: Any, type: Any = None, id: Any = None, retry: Any = None) -> None:
        self.data = data
        self.type = type
        self.id = id
        self.retry = retry

    def to_dict(self) -> dict[str, Any]:
        """The message as it is kept in Redis: ``data``, and of the rest what is not empty."""
        present = {name: value for name, value in self._optional() if value}
        return {"data": self.data, **present}

    def _optional(self) -> tuple[tuple[str, Any], ...]:
        return ("type", self.type), ("id", self.id), ("retry", self.retry)

    def __str__(self) -> str:
        """The message as bytes of an event stream, without a space after the colons, as Flask-SSE writes them."""
        text = self.data if isinstance(self.data, str) else json.dumps(self.data)
        lines = [f"event:{self.type}"] if self.type else []
        lines += [f"data:{line}" for line in text.splitlines()]
        if self.id:
            lines.append(f"id:{self.id}")
        if self.retry:
            lines.append(f"retry:{self.retry}")
        return "\n".join(lines) + "\n\n"

    def __repr__(self) -> str:
        optional = "".join(f", {name}={value!r}" for name, value in self._optional() if value)
        return f"{type(self).__name__}({self.data!r}{optional})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, self.__class__)
            and self.data == other.data
            and self.type == other.type
            and self.id == other.id
            and self.retry == other.retry
        )

    # As Flask-SSE has it: what can be changed is in no set.
    __hash__ = None  # type: ignore[assignment]
