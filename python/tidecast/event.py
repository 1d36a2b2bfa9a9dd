"""What a publisher says, as the engine takes it."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InvalidError

#: What neither a type nor an id may have: the control characters C0, DEL and C1.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


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
        """Takes what Flask-SSE takes: text as it is, what the JSON provider writes as a string as that string, and all
        else as JSON; what is falsy of the rest counts as not given.

        :raises TypeError: The data can't be written as JSON, or a type or an id is neither text nor a number.
        :raises tidecast.errors.InvalidError: The data is nested too deep, or ``retry`` is not a whole number of
            milliseconds.
        """
        is_text = isinstance(data, str)
        try:
            encoded = data if is_text else dumps(data)
        except RecursionError as error:
            raise InvalidError("the data is nested too deep") from error
        # A UUID, a date, a Decimal: Flask-SSE writes a string into its JSON, and reads that string back.
        if not is_text and encoded.lstrip()[:1] == '"':
            is_text, encoded = True, plain_json.loads(encoded)
        return cls(
            data=encoded,
            json=not is_text,
            type=text_of("type", type, dumps),
            id=text_of("id", id, dumps),
            retry_ms=milliseconds_of(retry),
        )

    def check(self) -> None:
        """Refuses what would break out of its line, if somebody else writes the event.

        :raises tidecast.errors.InvalidError: A type or an id has a control character.
        """
        check("type", self.type)
        check("id", self.id)


def text_of(name: str, value: Any, dumps: Callable[[Any], str]) -> str | None:
    """Returns the text of a type or an id as a reader of Flask-SSE's JSON has it; ``None`` for what is falsy.

    :raises TypeError: JSON has neither text nor a number for it: bytes, a list.
    """
    if not value:
        return None
    # Not `str(value)`: of an enumeration that is the member's name.
    plain = str.__str__(value) if isinstance(value, str) else plain_json.loads(dumps(value))
    if not isinstance(plain, (str, int, float)):
        raise TypeError(f"event {name} must be text or a number, not {value!r}")
    return str(plain)


def milliseconds_of(retry: Any) -> int | None:
    """Returns a reconnection time in milliseconds; ``None`` for what is falsy.

    :raises tidecast.errors.InvalidError: It is not a whole number from 0 to a day.
    """
    if not retry:
        return None
    try:
        milliseconds = int(retry)
    except (TypeError, ValueError, OverflowError):
        milliseconds = -1
    if not 0 <= milliseconds <= 86_400_000:
        raise InvalidError(f"retry must be 0 to 86400000 milliseconds, not {retry!r}")
    return milliseconds


def check(name: str, value: str | None) -> None:
    """Refuses a type or an id with a control character.

    :raises tidecast.errors.InvalidError: It has one.
    """
    if value is not None and CONTROL.search(value):
        raise InvalidError(f"event {name} has a line break or another control character: {value!r}")
