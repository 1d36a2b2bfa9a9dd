"""A client that reads a stream block by block."""

from __future__ import annotations

import http.client
from types import TracebackType
from typing import Any

#: The time-out of every wait, in seconds. It is longer than anything in the tests takes.
PATIENCE_SECONDS = 20

#: The headers of a browser's own ``EventSource``.
BROWSER = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": "Mozilla/5.0 (X11)"}


class Source:
    """An open stream.

    :param port: The server's port on 127.0.0.1.
    :param path: The path and query.
    :param headers: Further headers of the request.
    """

    def __init__(self, port: int, path: str = "/stream", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers={**BROWSER, **named})
        self.response = self._connection.getresponse()
        self.status = self.response.status

    def block(self) -> dict[str, Any]:
        """Returns the fields of the next block, with `data` as its joined lines and `comment` for a comment.

        It is empty at the end. As for a page, an incomplete block is dropped. A keep-alive is a block by itself, as is
        the `retry` at the end.
        """
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
        """Returns the next block with data; fails at the end of the stream."""
        while "data" not in (block := self.block()):
            assert block, "the stream has ended"
        return block

    def rest(self) -> list[dict[str, Any]]:
        """Returns all blocks to the end of the stream."""
        blocks = []
        while block := self.block():
            blocks.append(block)
        return blocks

    def close(self) -> None:
        """Closes the connection."""
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def ask(
    port: int, path: str, method: str = "GET", *, seconds: float = PATIENCE_SECONDS, **headers: str
) -> tuple[int, str]:
    """Sends a request, and returns the status and the text of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
