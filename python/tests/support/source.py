"""A client that reads a stream as it comes, block by block."""

from __future__ import annotations

import http.client
from types import TracebackType
from typing import Any

#: Longer than anything here should take: a test that waits this long has failed.
PATIENCE_SECONDS = 20

#: What a browser's own ``EventSource`` always sends.
BROWSER = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": "Mozilla/5.0 (X11)"}


class Source:
    """An open stream.

    :param port: The server's, on 127.0.0.1.
    :param path: What is asked for.
    :param headers: Further headers of the request.
    """

    def __init__(self, port: int, path: str = "/stream", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers={**BROWSER, **named})
        self.response = self._connection.getresponse()
        self.status = self.response.status

    def block(self) -> dict[str, Any]:
        """The next block: its fields, `data` as its lines joined, `comment` for a comment; empty at the end. What was
        cut in its middle is none, as for a page. A keep-alive is a block by itself, as is `retry` at the end."""
        fields: dict[str, Any] = {}
        while True:
            line = self.response.readline()
            if not line:
                return fields if fields.keys() == {"retry"} else {}
            if line == b"\n":
                return fields
            if line == b":\n" and not fields:
                return {"comment": ""}
            name, _, value = line.decode().rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            name = name or "comment"
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value

    def event(self) -> dict[str, Any]:
        """The next block with data; fails at the end of the stream."""
        while "data" not in (block := self.block()):
            assert block, "the stream has ended"
        return block

    def rest(self) -> list[dict[str, Any]]:
        """All blocks to the end of the stream."""
        blocks = []
        while block := self.block():
            blocks.append(block)
        return blocks

    def close(self) -> None:
        """Close the connection."""
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def ask(
    port: int, path: str, method: str = "GET", *, seconds: float = PATIENCE_SECONDS, **headers: str
) -> tuple[int, str]:
    """A request that ends by itself: its status and its text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
