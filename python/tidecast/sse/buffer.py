"""A buffer of pieces of an event stream, with the interface of PyPI's ``sse`` 1.2."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..errors import InvalidError

_Text: TypeAlias = "str | bytes | list[str | bytes] | tuple[str | bytes, ...] | set[str | bytes]"

_ADD_EVENT = re.compile(r"add_event_(\w+)")


class Sse:
    """A buffer of pieces of an event stream.

    :param default_retry: How long a page waits before it reconnects, in milliseconds.
    """

    def __init__(self, default_retry: int = 2000) -> None:
        self._buffer: list[str] = []
        self.set_retry(default_retry)

    def set_retry(self, num: int) -> None:
        """Adds a reconnection time.

        :param num: The time in milliseconds.
        :raises ValueError: It has a line break.
        """
        self._buffer.append(f"retry: {_line('retry', num)}\n\n")

    def set_event_id(self, event_id: object) -> None:
        """Adds the id after which a page resumes. A falsy id resets it.

        :raises ValueError: The id has a line break.
        """
        self._buffer.append(f"id: {_line('event id', event_id)}\n\n" if event_id else "id\n\n")

    def reset_event_id(self) -> None:
        """Adds a reset of the id."""
        self.set_event_id(None)

    def add_message(self, event: object, text: _Text, encoding: str = "utf-8") -> None:
        """Adds an event. ``add_event_NAME(text=...)`` does the same for the type ``NAME``.

        :param event: The event's type.
        :param text: Its data, or a list, a tuple or a set of parts of it.
        :param encoding: The encoding of bytes in ``text``.
        :raises ValueError: The type has a line break.
        """
        texts = text if isinstance(text, (list, tuple, set)) else [text]
        self._buffer.append(f"event: {_line('event type', event)}\n")
        for part in texts:
            # More line breaks than the standard has, as the original class does.
            lines = (part.decode(encoding) if isinstance(part, bytes) else part).splitlines()
            self._buffer.extend(f"data: {line}\n" for line in lines)
        self._buffer.append("\n")

    def flush(self) -> None:
        """Empties the buffer."""
        self._buffer = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        named = _ADD_EVENT.fullmatch(name)
        if named is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return functools.partial(self.add_message, event=named[1])

    def __str__(self) -> str:
        return "".join(self._buffer)

    def __iter__(self) -> Iterator[str]:
        """Yields the pieces, and empties the buffer after the last one."""
        yield from self._buffer
        self.flush()


def _line(name: str, value: object) -> str:
    text = str(value)
    if any(forbidden in text for forbidden in "\r\n\0"):
        raise InvalidError(f"{name} has a line break or NUL: {text!r}")
    return text
