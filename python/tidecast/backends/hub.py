"""A hub's address and key: events go to a running hub, and browsers get their streams there.

So a stream occupies no worker, however many there are. The application has its say first, whenever a browser asks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._native import Engine, check_channels
from ..hub.client import Client, query
from ..hub.hub_stream import HubStream
from ..hub.ticket import SECRET_BYTES_MIN, Signer
from .redirect import Redirect

if TYPE_CHECKING:
    from .._native import Published
    from ..event import Event
    from ..settings import HubSettings

#: For how long a ticket is good that only nginx sees, in seconds: until it asks the hub, by clocks that may differ.
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
        # For what is followed from here; it has nothing in it else.
        self._engine = Engine()

    def close(self) -> None:
        """Ends what is followed, and closes the connections that are kept."""
        self._engine.close()
        self._client.close()

    def publish(self, channel: str, event: Event, idempotency_key: str | None = None) -> Published:
        """See :class:`tidecast.backends.Backend`."""
        return self._client.publish(channel, event, idempotency_key)

    def subscribe(self, channels: list[str], *, after: bytes | None = None, last: int | None = None) -> HubStream:
        """See :class:`tidecast.backends.Backend`."""
        check_channels(channels)
        return HubStream(self._client, self._engine, _unique(channels), after or b"", last)

    def open(
        self,
        channels: list[str],
        *,
        after: bytes | None = None,
        last: int | None = None,
        retry_ms: int = 3000,
        open_event: bool = False,
        commits_at_empty_line: bool = True,
    ) -> Redirect:
        """See :class:`tidecast.backends.Backend`. After how long a browser comes back is the hub's to say.

        :raises ValueError: The key that would sign is so short that it could be found from a ticket.
        """
        if len(self._secret) < SECRET_BYTES_MIN:
            name = "SSE_HUB_TICKET_KEY" if self._settings.ticket_key else "SSE_HUB_KEY"
            raise ValueError(
                f"{name} has {len(self._secret)} characters, and tickets are signed with it: use at least "
                f"{SECRET_BYTES_MIN}, such as secrets.token_urlsafe({SECRET_BYTES_MIN}) makes"
            )
        check_channels(channels)
        channels = _unique(channels)
        through_nginx = self._settings.via == "accel"
        if through_nginx:
            # It goes in for whoever passed the guard, perhaps by cookies that another site's page has sent along.
            ticket = self._signer.ticket(channels, ACCEL_TICKET_SECONDS, cors=False)
        else:
            ticket = self._signer.ticket(channels, self._settings.ticket_seconds)
        # Where it goes on may stand in a header too, which browsers send along and nginx passes on: the hub goes by it.
        asked = query(channels, after=after or b"", last=last, open_event=open_event, ticket=ticket)
        if through_nginx:
            return Redirect(
                200,
                {
                    "X-Accel-Redirect": f"{self._settings.accel_prefix}/stream?{asked}",
                    "Content-Type": "text/event-stream; charset=utf-8",
                },
                b": SSE_HUB_VIA is `accel`, and no nginx has acted on this answer\n",
            )
        return Redirect(
            # Never one that a browser keeps: Firefox would not ask the application again.
            302,
            {
                "Location": f"{self._settings.public_url}/stream?{asked}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )


def reset() -> None:
    """Ends all of this process, and what is followed."""
    while _backends:
        _backends.popitem()[1].close()


def backend(settings: HubSettings) -> HubBackend:
    """The one of this process for these settings."""
    if settings not in _backends:
        # In one step, and without a lock, which a fork might find taken.
        return _backends.setdefault(settings, HubBackend(settings))
    return _backends[settings]


def _unique(channels: list[str]) -> list[str]:
    return list(dict.fromkeys(channels))
