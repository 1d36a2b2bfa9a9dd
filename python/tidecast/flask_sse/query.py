"""What a request for a stream asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import abort

from ..subscription import LAST_MAX

if TYPE_CHECKING:
    from flask import Request


@dataclass(frozen=True)
class Query:
    """What a request for a stream asks for."""

    #: The channels, at least one.
    channels: list[str]

    #: The id after which it goes on, as it came.
    after: bytes | None

    #: How many of the newest events it begins with.
    last: int | None

    #: Whether it begins with an event ``stream-open``.
    open_event: bool

    @classmethod
    def of(cls, request: Request, multi_channel: bool) -> Query:
        """Read a request. The header comes before the address, because a browser that reconnects repeats the address.

        :param multi_channel: Whether every ``channel`` counts; else the first one does.
        """
        args = request.args
        channels = [name or "sse" for name in args.getlist("channel")] or ["sse"]
        # WSGI has the bytes of a header as Latin-1.
        after = request.headers.get("Last-Event-ID", "").encode("latin-1", "replace")
        after = after or (args.get("last_event_id") or args.get("lastEventId") or "").encode()
        return cls(
            channels=channels if multi_channel else channels[:1],
            after=after or None,
            last=_last(args.get("last")),
            open_event=args.get("open") == "1",
        )


def _last(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= LAST_MAX):
        abort(400, f"`last` must be a whole number from 0 to {LAST_MAX}")
    return int(text)
