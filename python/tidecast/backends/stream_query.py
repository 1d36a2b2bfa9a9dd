"""The parameters of a browser's request for a stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamQuery:
    """The parameters of a browser's request for a stream."""

    #: The channels, at least one.
    channels: list[str]

    #: The last event id, as it was sent; ``None`` for none.
    after: bytes | None = None

    #: How many of the newest events the stream begins with; ``None`` for none.
    last: int | None = None

    #: Whether the stream begins with an event ``stream-open``.
    open_event: bool = False

    #: See :func:`tidecast._native.commits_at_empty_line`.
    commits_at_empty_line: bool = True
