"""Reading the parameters of a request for a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from flask import abort

from .._native import commits_at_empty_line
from ..backends.stream_query import StreamQuery
from ..subscription import LAST_MAX

if TYPE_CHECKING:
    from flask import Request


def read_query(request: Request, multi_channel: bool) -> StreamQuery:
    """Reads a request, and aborts with 400 if a parameter is invalid.

    The header ``Last-Event-ID`` takes precedence over the address, which a browser repeats when it reconnects.

    :param multi_channel: Whether the stream has every ``channel``; else only the first.
    """
    _require_utf8(request.query_string)
    channels = [name or "sse" for name in request.args.getlist("channel")] or ["sse"]
    given = {name: _given(request, name) for name in ("last_event_id", "lastEventId", "last", "open")}
    # WSGI decodes the bytes of a header as Latin-1.
    after = request.headers.get("Last-Event-ID", "").encode("latin-1", "replace")
    after = after or (given["last_event_id"] or given["lastEventId"] or "").encode()
    return StreamQuery(
        channels=channels if multi_channel else channels[:1],
        after=after or None,
        last=_last(given["last"]),
        open_event=_boolean("open", given["open"]),
        commits_at_empty_line=commits_at_empty_line(
            *map(request.headers.get, ("Cache-Control", "User-Agent", "Sec-Fetch-Mode"))
        ),
    )


def _given(request: Request, name: str) -> str | None:
    """Returns the value of a parameter, unless it is empty. Aborts with 400 if there are several, as a hub does."""
    values = [value for value in request.args.getlist(name) if value]
    if len(values) > 1:
        abort(400, f"`{name}` is given more than once: give it once")
    return values[0] if values else None


def _require_utf8(query: bytes) -> None:
    """Aborts with 400 if a parameter is not UTF-8, as a hub does. ``request.args`` would replace the bytes."""
    for pair in query.split(b"&"):
        name, _, value = (unquote_to_bytes(part) for part in pair.partition(b"="))
        if name not in (b"channel", b"last", b"open"):
            continue
        try:
            value.decode()
        except UnicodeDecodeError:
            abort(400, f"`{name.decode()}` is not UTF-8: percent-encode its UTF-8 bytes")


def _boolean(name: str, text: str | None) -> bool:
    if text not in (None, "1", "true", "0", "false"):
        abort(400, f"`{name}` must be 1, 0, true or false")
    return text in ("1", "true")


def _last(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= LAST_MAX):
        abort(400, f"`last` must be a whole number from 0 to {LAST_MAX}")
    return int(text)
