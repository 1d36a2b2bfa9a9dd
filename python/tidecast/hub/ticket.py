"""Tickets: what lets a browser read channels of a hub that refuses streams without one.

A ticket is a JSON Web Token, signed with HMAC-SHA256. Its key is derived from the hub's ticket key, or from its publish
key if it has no other, so that no ticket tells what that is.
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

#: Shortest secret that may sign, in bytes: who sees a ticket can try shorter ones on a machine of its own.
SECRET_BYTES_MIN = 32

#: What the key is derived with; another kind of token would have another one.
KEY_CONTEXT = b"tidecast ticket 1"


class Signer:
    """Signs tickets.

    :param secret: The hub's ticket key, or its publish key if it has no other.
    """

    def __init__(self, secret: str) -> None:
        self._key = _mac(secret.encode(), KEY_CONTEXT)
        kid = _mac(self._key, b"kid").hex()[:16]
        self._header = _part({"alg": "HS256", "typ": "JWT", "kid": kid})

    def ticket(self, channels: Sequence[str], seconds: int, *, cors: bool = True, now: float | None = None) -> str:
        """A ticket for exactly these channels.

        :param channels: Their names.
        :param seconds: For how long it opens them. A stream that is open by then stays.
        :param cors: Whether a page gets it, which then may read wherever it is from. ``False`` for one that a
            proxy puts in for whoever asked.
        :param now: From when on, in seconds since 1970; ``None``, the default, is from now.
        """
        expires = int(time.time() if now is None else now) + seconds
        claims: dict[str, Any] = {"use": "ticket", "subscribe": list(channels), "exp": expires}
        if not cors:
            claims["cors"] = False
        signed = self._header + b"." + _part(claims)
        return (signed + b"." + _text(_mac(self._key, signed))).decode()


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _part(value: dict[str, Any]) -> bytes:
    return _text(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _text(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")
