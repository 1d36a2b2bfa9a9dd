"""The settings of a hub."""

from __future__ import annotations

import pytest

from tidecast import backends
from tidecast.backends.hub import HubBackend
from tidecast.backends.stream_query import StreamQuery
from tidecast.hub.ticket import Signer
from tidecast.settings import HubSettings, Settings

BOTH = {"SSE_HUB_URL": "http://hub:8000/", "SSE_HUB_KEY": "secret"}


def test_an_address_and_a_key_suffice() -> None:
    hub = Settings.of(BOTH).hub
    assert hub == HubSettings(url="http://hub:8000", key="secret", public_url="http://hub:8000")
    assert (hub.ticket_seconds, hub.via, hub.accel_prefix) == (43_200, "redirect", "/_tidecast")
    assert Settings.of({}).hub is None and Settings.of({"SSE_HUB_URL": "", "SSE_HUB_KEY": ""}).hub is None


def test_every_setting_is_read() -> None:
    settings = {
        "SSE_HUB_PUBLIC_URL": "https://events.example.org/hub/",
        "SSE_HUB_TICKET_SECONDS": "60",
        "SSE_HUB_VIA": "accel",
        "SSE_HUB_ACCEL_PREFIX": "/inside/hub/",
    }
    expected = HubSettings("http://hub:8000", "secret", "https://events.example.org/hub", 60, "accel", "/inside/hub")
    assert Settings.of({**BOTH, **settings}).hub == expected
    # Paths of the application's own site.
    for path, public_url in (("/hub/", "/hub"), ("/", "")):
        hub = Settings.of({**BOTH, "SSE_HUB_PUBLIC_URL": path}).hub
        assert hub is not None and hub.public_url == public_url


def test_a_hub_takes_precedence_over_a_redis_and_equal_settings_share_it() -> None:
    settings = Settings.of({**BOTH, "REDIS_URL": "redis://cache"})
    backend = backends.choose(settings)
    assert isinstance(backend, HubBackend) and backend.reaches_other_processes
    assert backends.choose(Settings.of({**BOTH, "REDIS_URL": "redis://cache"})) is backend
    assert backends.choose(Settings.of({**BOTH, "SSE_HUB_KEY": "other"})) is not backend


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SSE_HUB_KEY": None}, "SSE_HUB_URL is set and SSE_HUB_KEY is not"),
        ({"SSE_HUB_URL": None}, "SSE_HUB_KEY is set and SSE_HUB_URL is not"),
        ({"SSE_HUB_KEY": "sec ret"}, "SSE_HUB_KEY"),
        ({"SSE_HUB_KEY": "sec\nret"}, "SSE_HUB_KEY"),
        ({"SSE_HUB_KEY": "sécret"}, "SSE_HUB_KEY"),
        ({"SSE_HUB_TICKET_KEY": "sec ret"}, "SSE_HUB_TICKET_KEY"),
        ({"SSE_HUB_URL": "hub:8000"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "/hub"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "http://"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "http://hub:port"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "http://hub?x=1"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "http://hub\r\nX: y"}, "SSE_HUB_URL"),
        ({"SSE_HUB_URL": "http://user:secret@hub"}, "SSE_HUB_URL"),
        ({"SSE_HUB_PUBLIC_URL": "//elsewhere"}, "SSE_HUB_PUBLIC_URL"),
        ({"SSE_HUB_PUBLIC_URL": "javascript:x"}, "SSE_HUB_PUBLIC_URL"),
        ({"SSE_HUB_PUBLIC_URL": "/a\nb"}, "SSE_HUB_PUBLIC_URL"),
        ({"SSE_HUB_VIA": "302"}, "SSE_HUB_VIA"),
        ({"SSE_HUB_TICKET_SECONDS": 0}, "SSE_HUB_TICKET_SECONDS"),
        ({"SSE_HUB_TICKET_SECONDS": "soon"}, "SSE_HUB_TICKET_SECONDS"),
        ({"SSE_HUB_ACCEL_PREFIX": "inside"}, "SSE_HUB_ACCEL_PREFIX"),
        ({"SSE_HUB_ACCEL_PREFIX": "/in%73ide"}, "SSE_HUB_ACCEL_PREFIX"),
    ],
)
def test_invalid_settings_are_refused_by_their_names(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named) as refused:
        Settings.of({**BOTH, **settings})
    # Neither a message nor a traceback shows a secret.
    assert "secret" not in str(refused.value) and "ret" not in str(refused.value).split(" ")
    assert "secret" not in repr(Settings.of(BOTH))


def test_a_short_key_signs_nothing() -> None:
    """A publish key of one letter could be found from a ticket in four seconds."""
    for settings, named in (({}, "SSE_HUB_KEY"), ({"SSE_HUB_TICKET_KEY": "k" * 31}, "SSE_HUB_TICKET_KEY")):
        with pytest.raises(ValueError, match=named):
            backends.choose(Settings.of({**BOTH, **settings})).open(StreamQuery(["news"]), 3000)


def test_a_ticket_key_signs_instead_of_the_publish_key() -> None:
    secret = "k" * 32
    redirect = backends.choose(Settings.of({**BOTH, "SSE_HUB_TICKET_KEY": secret})).open(StreamQuery(["news"]), 3000)
    ticket = redirect.headers["Location"].rpartition("ticket=")[2]
    # The header has an id of the key.
    assert ticket.split(".")[0] == Signer(secret).ticket(["news"], 60).split(".")[0]
