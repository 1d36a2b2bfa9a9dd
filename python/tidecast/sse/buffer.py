"""A buffer of an event stream's pieces, as PyPI's ``sse`` 1.2 has it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..errors import InvalidError

_Text: TypeAlias = "str | bytes | list[str | bytes] | tuple[str | bytes, ...] | set[str | bytes]"

_ADD_EVENT = re.compile(r"add_event_(\w+)")


class Sse:
    """Pieces of an event stream, kept until they are iterated over.

    :param default_retry: How long a page is to wait before it connects again, in milliseconds.
    """

    def __init__(self, default_retry: int = 2000) -> None:
        self._buffer: list[str] = []
        self.set_retry(default_retry)

    def set_retry(self, num: int) -> None:
        """Tell how long to wait before connecting again.

        :param num: Milliseconds.
        :raises ValueError: It has a line break.
        """
        self._buffer.append(f"retry: {_line('retry', num)}\n\n")

    def set_event_id(self, event_id: object) -> None:
        """Tell the id after which a page resumes. What is falsy resets it.

        :raises ValueError: It has a line break.
        """
        self._buffer.append(f"id: {_line('event id', event_id)}\n\n" if event_id else "id\n\n")

    def reset_event_id(self) -> None:
        """Tell that there is no id to resume after."""
        self.set_event_id(None)

    def add_message(self, event: object, text: _Text, encoding: str = "utf-8") -> None:
        """Add an event. ``add_event_NAME(text=...)`` is the same for the type ``NAME``.

        :param event: Its type.
        :param text: Its data, or a list, a tuple or a set of parts of it.
        :param encoding: How bytes among them are read.
        :raises ValueError: The type has a line break.
        """
        texts = text if isinstance(text, (list, tuple, set)) else [text]
        self._buffer.append(f"event: {_line('event type', event)}\n")
        for part in texts:
            # What these split at, more than the standard does, is what this class has always split at.
            lines = (part.decode(encoding) if isinstance(part, bytes) else part).splitlines()
            self._buffer.extend(f"data: {line}\n" for line in lines)
        self._buffer.append("\n")

    def flush(self) -> None:
        """Empty the buffer."""
        self._buffer = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        named = _ADD_EVENT.fullmatch(name)
        if named is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return functools.partial(self.add_message, event=named[1])

    def __str__(self) -> str:
        return "".join(self._buffer)

    def __iter__(self) -> Iterator[str]:
        """The pieces; the buffer is emptied after the last one."""
        yield from self._buffer
        self.flush()


def _line(what: str, value: object) -> str:
    text = str(value)
    if any(forbidden in text for forbidden in "\r\n\0"):
        raise InvalidError(f"{what} has a line break or NUL")
    return text
