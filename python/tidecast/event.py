"""An event, in the form in which the engine takes it."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InvalidError

#: The characters that neither a type nor an id may have: the controls C0, DEL and C1.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

#: The longest reconnection time in milliseconds: a day.
RETRY_MS_MAX = 86_400_000


@dataclass(frozen=True)
class Event:
    """An event, in the form in which the engine takes it."""

    data: str

    #: Whether ``data`` is JSON; else it is text.
    json: bool

    type: str | None
    id: str | None
    retry_ms: int | None

    @classmethod
    def of(cls, data: Any, type: Any, id: Any, retry: Any, dumps: Callable[[Any], str]) -> Event:
        """Creates an event from the arguments of Flask-SSE's ``publish``.

        Text stays text. All other data is written as JSON; if the JSON is a string, its value is sent as text. A falsy
        type, id or retry counts as missing.

        :raises TypeError: JSON cannot represent the data, or the type or the id is neither text nor a number.
        :raises tidecast.errors.InvalidError: The data is nested too deep, or ``retry`` is not a whole number of
            milliseconds from 0 to a day.
        """
        is_text = isinstance(data, str)
        try:
            encoded = data if is_text else dumps(data)
        except RecursionError as error:
            raise InvalidError("the data is nested too deep") from error
        # A UUID, a date or a Decimal: readers of Flask-SSE load a string from its JSON.
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
        """Checks the fields that could break out of their lines, for events that another program writes.

        :raises tidecast.errors.InvalidError: The type or the id has a control character.
        """
        check("type", self.type)
        check("id", self.id)


def text_of(name: str, value: Any, dumps: Callable[[Any], str]) -> str | None:
    """Returns a type or an id as readers of Flask-SSE's JSON receive it; ``None`` if it is falsy.

    :raises TypeError: The value is neither text nor a number in JSON, such as bytes or a list.
    """
    if not value:
        return None
    # `str(value)` of an enumeration's member would be its name.
    plain = str.__str__(value) if isinstance(value, str) else plain_json.loads(dumps(value))
    if not isinstance(plain, (str, int, float)):
        raise TypeError(f"event {name} must be text or a number, not {value!r}")
    return str(plain)


def milliseconds_of(retry: Any) -> int | None:
    """Returns a reconnection time in milliseconds; ``None`` if it is falsy.

    :raises tidecast.errors.InvalidError: The time is not a whole number from 0 to a day.
    """
    if not retry:
        return None
    try:
        milliseconds = int(retry)
    except (TypeError, ValueError, OverflowError):
        milliseconds = -1
    if not 0 <= milliseconds <= RETRY_MS_MAX:
        raise InvalidError(f"retry must be 0 to {RETRY_MS_MAX} milliseconds, not {retry!r}")
    return milliseconds


def check(name: str, value: str | None) -> None:
    """Checks a type or an id.

    :raises tidecast.errors.InvalidError: It has a control character.
    """
    if value is not None and CONTROL.search(value):
        raise InvalidError(f"event {name} has a line break or another control character: {value!r}")
