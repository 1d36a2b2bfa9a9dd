"""Tickets, with which a browser may read channels of a hub.

A ticket is a JSON Web Token, signed with HMAC-SHA256. The signing key is derived from the hub's ticket key, or from its
publish key if it has no ticket key.
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

#: The shortest secret that may sign, in bytes. A shorter one could be found from a ticket by trying.
SECRET_BYTES_MIN = 32

#: The context of the key derivation, which separates tickets from other kinds of tokens.
KEY_CONTEXT = b"tidecast ticket 1"


class Signer:
    """Signs tickets.

    :param secret: The hub's ticket key, or its publish key if it has no ticket key.
    """

    def __init__(self, secret: str) -> None:
        self._key = _mac(secret.encode(), KEY_CONTEXT)
        kid = _mac(self._key, b"kid").hex()[:16]
        self._header = _part({"alg": "HS256", "typ": "JWT", "kid": kid})

    def ticket(self, channels: Sequence[str], seconds: int, *, cors: bool = True, now: float | None = None) -> str:
        """Returns a ticket for exactly these channels.

        :param channels: Their names.
        :param seconds: Its lifetime. Streams that are open at its end stay open.
        :param cors: Whether a page of any origin may use it. ``False`` for a ticket that a proxy adds to requests.
        :param now: When its lifetime begins, in seconds since 1970. ``None``, the default, is now.
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
