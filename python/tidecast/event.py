"""What a publisher says, as the engine takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InvalidError


@dataclass(frozen=True)
class Event:
    """What a publisher says, as the engine takes it."""

    data: str
    json: bool
    type: str | None
    id: str | None
    retry_ms: int | None

    @classmethod
    def of(cls, data: Any, type: Any, id: Any, retry: Any, dumps: Callable[[Any], str]) -> Event:
        """Take what Flask-SSE takes: text as it is and all else as JSON; what is falsy of the rest counts as not given.

        :raises TypeError: The data can't be written as JSON.
        :raises tidecast.errors.InvalidError: ``retry`` is not a whole number of milliseconds.
        """
        is_text = isinstance(data, str)
        return cls(
            data=data if is_text else dumps(data),
            json=not is_text,
            type=str(type) if type else None,
            id=str(id) if id else None,
            retry_ms=_milliseconds(retry) if retry else None,
        )

    def check(self) -> None:
        """Refuse what would break out of its line, where somebody else writes the event.

        :raises tidecast.errors.InvalidError: A type or an id has a line break or NUL.
        """
        for name, value in (("type", self.type), ("id", self.id)):
            if value is not None and any(forbidden in value for forbidden in "\r\n\0"):
                raise InvalidError(f"event {name} has a line break or NUL")


def _milliseconds(retry: Any) -> int:
    try:
        milliseconds = int(retry)
    except (TypeError, ValueError, OverflowError):
        milliseconds = -1
    if not 0 <= milliseconds <= 86_400_000:
        raise InvalidError(f"retry must be 0 to 86400000 milliseconds, not {retry!r}")
    return milliseconds
