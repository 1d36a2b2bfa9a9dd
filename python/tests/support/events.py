"""Events as the backends take them."""

from __future__ import annotations

import json
from typing import Any

from tidecast.event import Event


def event(data: object, *, type: Any = None, id: Any = None, retry: Any = None) -> Event:
    """Creates an event with the standard library's JSON."""
    return Event.of(data, type, id, retry, json.dumps)
