"""Tickets: what lets a browser read channels of a hub that refuses streams without one.

A ticket is a JSON Web Token, signed with HMAC-SHA256. Its key is derived from the publish key, so that there is one
secret to set, and no ticket tells what that is.
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

#: What the key is derived with; another kind of token would have another one.
PURPOSE = b"tidecast ticket 1"


class Signer:
    """Signs tickets.

    :param publish_key: The hub's.
    """

    def __init__(self, publish_key: str) -> None:
        self._key = _mac(publish_key.encode(), PURPOSE)
        kid = _mac(self._key, b"kid").hex()[:16]
        self._header = _part({"alg": "HS256", "typ": "JWT", "kid": kid})

    def ticket(self, channels: Sequence[str], seconds: int, *, now: float | None = None) -> str:
        """A ticket for exactly these channels.

        :param channels: Their names.
        :param seconds: For how long it opens them. A stream that is open by then stays.
        :param now: From when on, in seconds since 1970; ``None``, the default, is from now.
        """
        expires = int(time.time() if now is None else now) + seconds
        claims = {"use": "ticket", "subscribe": list(channels), "exp": expires}
        signed = self._header + b"." + _part(claims)
        return (signed + b"." + _text(_mac(self._key, signed))).decode()


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _part(value: dict[str, Any]) -> bytes:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")
