"""The tickets for a hub."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from tidecast.hub.ticket import Signer

KEY = "another publish key"

#: A ticket for `news` until 1,000,000,060, made with OpenSSL's command line and that key.
KNOWN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImQ0MTk5NjllNzExNjcwM2MifQ"
    ".eyJ1c2UiOiJ0aWNrZXQiLCJzdWJzY3JpYmUiOlsibmV3cyJdLCJleHAiOjEwMDAwMDAwNjB9"
    ".JEZ-tEpjxM4mLcxHlkNA4hKx8AWM_56N9MQb3rwii3Y"
)


def parts(ticket: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in ticket.split("."))
    return json.loads(header), json.loads(claims), signature


def test_a_ticket_names_its_channels_and_its_expiry() -> None:
    ticket = Signer(KEY).ticket(["news", "größe"], 60, now=1_000.9)
    header, claims, _ = parts(ticket)
    assert set(header) == {"alg", "typ", "kid"} and (header["alg"], header["typ"]) == ("HS256", "JWT")
    assert claims == {"use": "ticket", "subscribe": ["news", "größe"], "exp": 1_060}
    assert "=" not in ticket
    _, claims, _ = parts(Signer(KEY).ticket(["news"], 60, cors=False, now=1_000))
    assert claims == {"use": "ticket", "subscribe": ["news"], "exp": 1_060, "cors": False}


def test_a_ticket_is_signed_with_a_derived_key() -> None:
    ticket = Signer(KEY).ticket(["news"], 60)
    derived = hmac.new(KEY.encode(), b"tidecast ticket 1", hashlib.sha256).digest()
    signed, _, _ = ticket.rpartition(".")
    header, _, signature = parts(ticket)
    assert signature == hmac.new(derived, signed.encode(), hashlib.sha256).digest()
    assert header["kid"] == hmac.new(derived, b"kid", hashlib.sha256).hexdigest()[:16]
    # Another publish key has another id.
    assert parts(Signer(KEY + "2").ticket(["news"], 60))[0]["kid"] != header["kid"]


def test_the_longest_ticket_fits_the_hubs_limit() -> None:
    """With escaped characters the same channels were twice as long, and exceeded the limit."""
    names = [f"{number:02}" + "ß" * 126 for number in range(64)]
    assert all(len(name.encode()) == 254 for name in names)
    assert len(Signer(KEY).ticket(names, 60)) < 32 * 1024


def test_a_ticket_equals_one_made_with_openssl() -> None:
    assert Signer(KEY).ticket(["news"], 60, now=1_000_000_000) == KNOWN
