"""The requests to a hub, and the meaning of its responses."""

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

#: How long an open stream may be silent, in seconds. The hub's keep-alives come more often.
SILENCE_SECONDS_MAX = 60.0

#: Most bytes of an error response that are read.
ERROR_BYTES_MAX = 4096


class Client:
    """A client of a hub, with its publish key.

    :param url: The hub's address.
    :param key: The hub's publish key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._pool = ConnectionPool(url)
        self._authorization = f"Bearer {key}"

    def close(self) -> None:
        """Closes the idle connections. The client can still be used."""
        self._pool.close()

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publishes an event, and waits for the hub's response.

        A lost request is repeated only with an idempotency key, because it could publish twice.

        :raises tidecast.errors.InvalidError: The hub rejects the event or the channel.
        :raises tidecast.errors.RefusedError: The hub rejects the key.
        :raises tidecast.errors.UnavailableError: The hub cannot be reached, or cannot publish at the moment.
        :raises tidecast.errors.InDoubtError: The response was lost, so the event may have been published.
        """
        if not channel:
            # The hub would use its default channel.
            raise InvalidError("channel name is empty")
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        response = self._pool.post(
            "/publish", publish_body(channel, event, idempotency_key), headers, repeatable=idempotency_key is not None
        )
        if response.status != 200:
            raise error_of(self._pool.url, response)
        try:
            published = json.loads(response.body)
            channel, id, position, receivers = (published[name] for name in ("channel", "id", "position", "receivers"))
            flags = {name: published.get(name, False) for name in ("repeated", "differs", "delayed")}
            return Published(channel, id, position, receivers, **flags)
        except (ValueError, TypeError, LookupError) as error:
            raise TidecastError(f"the server at {self._pool.url} is not a hub: check SSE_HUB_URL") from error

    def open_stream(
        self, channels: list[str], after: bytes, last: int | None
    ) -> tuple[http.client.HTTPResponse, socket.socket]:
        """Opens a stream, which the caller closes.

        :param after: The last event id; empty for none.
        :param last: Without ``after``: begin with this many of the newest events of each channel.
        :return: The response, and its socket.
        :raises tidecast.errors.InvalidError: The hub rejects the channels.
        :raises tidecast.errors.RefusedError: The hub rejects the key.
        :raises tidecast.errors.UnavailableError: The hub cannot be reached, or opens no stream at the moment.
        """
        connection = self._pool.open()
        connected = connection.sock
        is_open = False
        try:
            parameters = stream_parameters(channels, after=after, last=last)
            headers = {"Authorization": self._authorization, "Accept": "text/event-stream"}
            connection.request("GET", f"{self._pool.path}/stream?{parameters}", headers=headers)
            response = connection.getresponse()
            is_open = response.status == 200
            if is_open:
                connected.settimeout(SILENCE_SECONDS_MAX)
                return response, connected
            with response:
                raise error_of(self._pool.url, HubResponse(response.status, response.read(ERROR_BYTES_MAX)))
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the connection to {self._pool.url} was lost: {describe(error)}") from error
        finally:
            if not is_open:
                connection.close()


def stream_parameters(
    channels: list[str],
    *,
    after: bytes = b"",
    last: int | None = None,
    open_event: bool = False,
    ticket: str | None = None,
) -> str:
    """Returns the query of a stream's address."""
    pairs: list[tuple[str, str | bytes]] = [("channel", name) for name in channels]
    if after:
        pairs.append(("last_event_id", after))
    if last is not None:
        pairs.append(("last", str(last)))
    if open_event:
        pairs.append(("open", "1"))
    if ticket is not None:
        pairs.append(("ticket", ticket))
    # A space becomes `%20`: not every proxy decodes a plus.
    return urlencode(pairs, quote_via=quote)


def publish_body(channel: str, event: Event, idempotency_key: str | None) -> bytes:
    """Returns the body of a publish request."""
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


def error_of(url: str, response: HubResponse) -> TidecastError:
    """Returns the exception for an error response."""
    problem = _problem(response.body)
    detail = problem.get("detail") or http.client.responses.get(response.status, "unknown")
    why = f"{url} responded {response.status}: {detail}"
    if response.status in (401, 403):
        return RefusedError(f"{why} (SSE_HUB_KEY must be the hub's publish key)")
    if response.status == 413:
        return TooLargeError(why)
    if response.status in (400, 415, 422):
        return InvalidError(why)
    if response.status in (408, 429) or (response.status == 503 and not problem.get("in_doubt")):
        return UnavailableError(why)
    if response.status >= 500:
        # Also sent by a proxy that has lost its hub.
        return InDoubtError(why)
    return TidecastError(f"{why} (SSE_HUB_URL must be the hub's own address)")


def _problem(text: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(text)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _is_standard_json(data: str) -> bool:
    """Returns whether Python wrote standard JSON, which is all that a hub accepts, and not ``NaN`` or ``Infinity``."""
    if "NaN" not in data and "Infinity" not in data:
        return True
    try:
        json.loads(data, parse_constant=_refuse_constant)
    except ValueError:
        return False
    return True


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)
