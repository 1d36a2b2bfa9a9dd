"""Tickets, as the hub checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from tidecast.hub.ticket import Signer

KEY = "a publish key"

#: Made with OpenSSL's command line: of that key, for `news`, until 1,000,000,060.
KNOWN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjcyZjMyNzhiOTU4ZjVlZDUifQ"
    ".eyJ1c2UiOiJ0aWNrZXQiLCJzdWJzY3JpYmUiOlsibmV3cyJdLCJleHAiOjEwMDAwMDAwNjB9"
    ".WWIEQ6QfwKTy-qlCCv7wu7WPCPKaCGGWZYVsNR2zTwk"
)


def parts(ticket: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in ticket.split("."))
    return json.loads(header), json.loads(claims), signature


def test_a_ticket_says_what_it_opens_and_until_when() -> None:
    ticket = Signer(KEY).ticket(["news", "größe"], 60, now=1_000.9)
    header, claims, _ = parts(ticket)
    assert set(header) == {"alg", "typ", "kid"} and (header["alg"], header["typ"]) == ("HS256", "JWT")
    assert claims == {"use": "ticket", "subscribe": ["news", "größe"], "exp": 1_060}
    assert "=" not in ticket


def test_it_is_signed_with_a_key_that_is_derived_from_the_publish_key() -> None:
    ticket = Signer(KEY).ticket(["news"], 60)
    derived = hmac.new(KEY.encode(), b"tidecast ticket 1", hashlib.sha256).digest()
    signed, _, _ = ticket.rpartition(".")
    header, _, signature = parts(ticket)
    assert signature == hmac.new(derived, signed.encode(), hashlib.sha256).digest()
    assert header["kid"] == hmac.new(derived, b"kid", hashlib.sha256).hexdigest()[:16]
    # Another publish key, another name.
    assert parts(Signer(KEY + "2").ticket(["news"], 60))[0]["kid"] != header["kid"]


def test_it_is_what_others_make() -> None:
    assert Signer(KEY).ticket(["news"], 60, now=1_000_000_000) == KNOWN
