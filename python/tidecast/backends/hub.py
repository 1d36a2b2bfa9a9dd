"""The backend of ``SSE_HUB_URL``: events go to a running hub, and browsers are redirected to it for their streams.

A stream then occupies no worker of the application. The application still decides about each one, because every browser
asks it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._native import Engine, check_channels
from ..hub.client import Client, stream_parameters
from ..hub.hub_stream import HubStream
from ..hub.ticket import SECRET_BYTES_MIN, Signer
from .redirect import Redirect

if TYPE_CHECKING:
    from .._native import Published
    from ..event import Event
    from ..settings import HubSettings
    from .stream_query import StreamQuery

#: The lifetime of a ticket that only nginx sees, in seconds. It covers the request to the hub, and clocks that differ.
ACCEL_TICKET_SECONDS = 60

_backends: dict[HubSettings, HubBackend] = {}


class HubBackend:
    """Events through a hub."""

    reaches_other_processes = True

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._client = Client(settings.url, settings.key)
        self._secret = settings.ticket_key or settings.key
        self._signer = Signer(self._secret)
        # For the streams that are read here, and nothing else.
        self._engine = Engine()

    def close(self) -> None:
        """Ends the streams that are read here, and closes the idle connections."""
        self._engine.close()
        self._client.close()

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """Publishes an event; see :meth:`tidecast.backends.Backend.publish`."""
        return self._client.publish(channel, event, idempotency_key)

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> HubStream:
        """Subscribes to channels; see :meth:`tidecast.backends.Backend.subscribe`."""
        check_channels(channels)
        return HubStream(self._client, self._engine, _unique(channels), after or b"", last)

    def open(self, query: StreamQuery, retry_ms: int) -> Redirect:
        """Redirects to the hub's stream; see :meth:`tidecast.backends.Backend.open`.

        :raises ValueError: The key that signs tickets is so short that a ticket would reveal it.
        """
        if len(self._secret) < SECRET_BYTES_MIN:
            name = "SSE_HUB_TICKET_KEY" if self._settings.ticket_key else "SSE_HUB_KEY"
            raise ValueError(
                f"{name} has {len(self._secret)} characters, too few to sign tickets: use at least {SECRET_BYTES_MIN}, "
                f"such as from secrets.token_urlsafe({SECRET_BYTES_MIN})"
            )
        check_channels(query.channels)
        channels = _unique(query.channels)
        through_nginx = self._settings.via == "accel"
        if through_nginx:
            # Another site's page may have sent the cookies that passed the application's guard, so it must not read
            # this.
            ticket = self._signer.ticket(channels, ACCEL_TICKET_SECONDS, cors=False)
        else:
            ticket = self._signer.ticket(channels, self._settings.ticket_seconds)
        # A `Last-Event-ID` header that reaches the hub too takes precedence there over this `after`.
        parameters = stream_parameters(
            channels, after=query.after or b"", last=query.last, open_event=query.open_event, ticket=ticket
        )
        if through_nginx:
            return Redirect(
                200,
                {
                    "X-Accel-Redirect": f"{self._settings.accel_prefix}/stream?{parameters}",
                    "Content-Type": "text/event-stream; charset=utf-8",
                },
                b": SSE_HUB_VIA is `accel`, and no nginx has acted on this answer\n",
            )
        return Redirect(
            # Temporary: a browser that caches the redirect would not ask the application again.
            302,
            {
                "Location": f"{self._settings.public_url}/stream?{parameters}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )


def reset() -> None:
    """Closes the hub backends of this process."""
    while _backends:
        _backends.popitem()[1].close()


def backend(settings: HubSettings) -> HubBackend:
    """Returns the backend of this process for these settings."""
    if settings not in _backends:
        # Atomic without a lock, which a fork might find taken.
        return _backends.setdefault(settings, HubBackend(settings))
    return _backends[settings]


def _unique(channels: list[str]) -> list[str]:
    return list(dict.fromkeys(channels))
