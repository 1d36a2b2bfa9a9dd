"""What a hub is asked, and what its answers mean."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from .._native import Published
from ..errors import InDoubtError, InvalidError, RefusedError, TidecastError, TooLargeError, UnavailableError
from .connections import ConnectionPool, HubResponse, describe

if TYPE_CHECKING:
    from ..event import Event

#: How long an open stream may be silent, in seconds: four of the hub's keep-alives, as it has them by default.
SILENCE_SECONDS_MAX = 60.0

#: Most of a error_of that is read, in bytes.
ERROR_BYTES_MAX = 4096


class Client:
    """A hub, as who has its key speaks to it.

    :param url: Its address.
    :param key: Its publish key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._pool = ConnectionPool(url)
        self._authorization = f"Bearer {key}"

    def close(self) -> None:
        """Closes the connections that are kept. It may be used again."""
        self._pool.close()

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publish an event, and wait for the hub's answer.

        It is asked once more only where that can't publish twice: under an idempotency key.

        :raises tidecast.errors.InvalidError: The hub takes it for none.
        :raises tidecast.errors.RefusedError: The key is not the hub's.
        :raises tidecast.errors.UnavailableError: The hub can't be reached, or can't publish just now.
        :raises tidecast.errors.InDoubtError: The same, and it may have been published.
        """
        if not channel:
            # The hub takes it for the default.
            raise InvalidError("channel name is empty")
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        answer = self._pool.post(
            "/publish", publish_body(channel, event, idempotency_key), headers, repeatable=idempotency_key is not None
        )
        if answer.status != 200:
            raise error_of(self._pool.url, answer)
        try:
            published = json.loads(answer.body)
            channel, id, position, receivers = (published[name] for name in ("channel", "id", "position", "receivers"))
            flags = {name: published.get(name, False) for name in ("repeated", "differs", "delayed")}
            return Published(channel, id, position, receivers, **flags)
        except (ValueError, TypeError, LookupError) as error:
            raise TidecastError(f"what answers at {self._pool.url} is no hub") from error

    def open_stream(
        self, channels: list[str], after: bytes, last: int | None
    ) -> tuple[http.client.HTTPResponse, socket.socket]:
        """Open a stream; whoever reads it closes it.

        :param after: The last event id; empty for none.
        :param last: Without one: begin with the newest so many of each channel.
        :return: The answer, and what it comes through.
        :raises tidecast.errors.InvalidError: The hub takes the channels for none.
        :raises tidecast.errors.RefusedError: The key is not the hub's.
        :raises tidecast.errors.UnavailableError: There is no stream to be had just now.
        """
        connection = self._pool.open()
        through = connection.sock
        is_open = False
        try:
            asked = query(channels, after=after, last=last)
            headers = {"Authorization": self._authorization, "Accept": "text/event-stream"}
            connection.request("GET", f"{self._pool.path}/stream?{asked}", headers=headers)
            response = connection.getresponse()
            is_open = response.status == 200
            if is_open:
                through.settimeout(SILENCE_SECONDS_MAX)
                return response, through
            with response:
                raise error_of(self._pool.url, HubResponse(response.status, response.read(ERROR_BYTES_MAX)))
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the connection to {self._pool.url} was lost: {describe(error)}") from error
        finally:
            if not is_open:
                connection.close()


def query(
    channels: list[str],
    *,
    after: bytes = b"",
    last: int | None = None,
    open_event: bool = False,
    ticket: str | None = None,
) -> str:
    """The query of an address of a stream."""
    pairs: list[tuple[str, str | bytes]] = [("channel", name) for name in channels]
    if after:
        pairs.append(("last_event_id", after))
    if last is not None:
        pairs.append(("last", str(last)))
    if open_event:
        pairs.append(("open", "1"))
    if ticket is not None:
        pairs.append(("ticket", ticket))
    # Without a plus for a space, which not everything between here and there reads alike.
    return urlencode(pairs, quote_via=quote)


def publish_body(channel: str, event: Event, idempotency_key: str | None) -> bytes:
    """An event as a hub takes it."""
    members = {
        "channel": channel,
        "type": event.type,
        "id": event.id,
        "retry": event.retry_ms,
        "idempotency_key": idempotency_key,
    }
    rest = json.dumps({name: value for name, value in members.items() if value is not None}, ensure_ascii=False)
    data = event.data if event.json and _is_standard_json(event.data) else json.dumps(event.data, ensure_ascii=False)
    return f'{rest[:-1]}, "data": {data}}}'.encode()


def error_of(url: str, answer: HubResponse) -> TidecastError:
    """The exception of an answer that says no."""
    problem = _problem(answer.body)
    detail = problem.get("detail") or http.client.responses.get(answer.status, "unknown")
    why = f"{url} answers {answer.status}: {detail}"
    if answer.status in (401, 403):
        return RefusedError(f"{why} (SSE_HUB_KEY must be the hub's publish key)")
    if answer.status == 413:
        return TooLargeError(why)
    if answer.status in (400, 415, 422):
        return InvalidError(why)
    if answer.status in (408, 429) or (answer.status == 503 and not problem.get("in_doubt")):
        return UnavailableError(why)
    if answer.status >= 500:
        # Also what a proxy says for a hub that it has lost.
        return InDoubtError(why)
    return TidecastError(f"{why} (SSE_HUB_URL must be the hub's own address)")


def _problem(text: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(text)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _is_standard_json(data: str) -> bool:
    """Returns whether the hub takes JSON as it is written here: it refuses what Python writes and no standard knows."""
    if "NaN" not in data and "Infinity" not in data:
        return True
    try:
        json.loads(data, parse_constant=_refuse_constant)
    except ValueError:
        return False
    return True


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)
