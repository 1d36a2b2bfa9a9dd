"""The answer to a browser whose stream a hub serves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Redirect:
    """The answer to a browser whose stream a hub serves: by an HTTP redirect, or by nginx's ``X-Accel-Redirect``."""

    status: int
    headers: dict[str, str]

    #: A client sees it only if nothing has followed the redirect.
    body: bytes = b""
