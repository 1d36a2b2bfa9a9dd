"""The answer to a browser whose stream somebody else serves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Redirect:
    """The answer to a browser whose stream somebody else serves."""

    status: int
    headers: dict[str, str]

    #: What is seen of it only where nobody has acted on it.
    body: bytes = b""
