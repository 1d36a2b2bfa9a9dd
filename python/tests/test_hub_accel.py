"""`SSE_HUB_VIA = "accel"`: an nginx in front fetches the stream, so the browser needs no redirect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from support.hub import Hub
from support.nginx import Nginx
from support.server import Server
from support.source import Source, ask
from support.waiting import until

from tidecast.flask_sse import ServerSentEventsBlueprint


@pytest.fixture
def site(hub: Hub, tmp_path: Path) -> Iterator[Nginx]:
    """Starts the quickstart on one worker that serves one request at a time, behind an nginx."""
    environment = {**hub.settings, "SSE_HUB_VIA": "accel"}
    with (
        Server("gunicorn-sync", tmp_path, environment=environment) as server,
        Nginx(tmp_path, server.port, hub.port) as nginx,
    ):
        yield nginx


def test_nginx_passes_events_on_at_once(site: Nginx) -> None:
    channel = quote("größe & co")
    sources = [Source(site.port, f"/stream?channel={channel}") for _ in range(2)]
    for source in sources:
        assert (source.status, source.response.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        assert source.block()["comment"] == "tidecast"
    # The only worker is free, and nginx does not buffer.
    for data in ("one", "two"):
        assert ask(site.port, f"/hello?data={data}&channel={channel}") == (200, "2")
        assert [source.event()["data"] for source in sources] == [data, data]
    for source in sources:
        source.close()
    assert "buffered to a temporary file" not in site.errors()


def test_a_stream_resumes_through_nginx(site: Nginx) -> None:
    with Source(site.port) as source:
        source.block()
        ask(site.port, "/hello?data=one")
        last = source.event()["id"]
    ask(site.port, "/hello?data=two")
    with Source(site.port, Last_Event_ID=last) as source:
        assert source.event()["data"] == "two"
    with Source(site.port, f"/stream?lastEventId={last}") as source:
        assert source.event()["data"] == "two"
    with Source(site.port, "/stream?last=1&open=1") as source:
        assert [source.event().get("event") for _ in range(2)] == ["stream-open", None]


def test_the_client_sees_no_ticket(site: Nginx) -> None:
    with Source(site.port) as source:
        names = sorted(name.lower() for name in source.response.headers)
        assert source.block()["comment"] == "tidecast"
    # No header of the application, whose response has the ticket.
    expected = ["cache-control", "connection", "content-type", "date", "server", "transfer-encoding", "vary"]
    expected.append("x-content-type-options")
    assert names == expected
    until(lambda: "GET /stream" in site.accesses(), "nginx has logged the request")
    assert "ticket" not in site.accesses() + site.errors()


def test_a_page_of_another_origin_is_refused(site: Nginx) -> None:
    """Another site's page may have sent the cookies that passed the application's guard, so it must not read the
    stream."""
    status, answer = ask(site.port, "/stream", Origin="https://evil.example")
    assert status == 403 and "evil.example" in answer


def test_the_hub_cannot_be_reached_past_the_application(site: Nginx, hub: Hub) -> None:
    assert ask(site.port, "/_tidecast/stream")[0] == 404
    assert ask(site.port, "/_tidecast/publish", "POST")[0] == 404
    assert ask(hub.port, "/stream")[0] == 401


def test_every_reconnect_passes_the_guard(hub: Hub, tmp_path: Path) -> None:
    environment = {**hub.settings, "SSE_HUB_VIA": "accel"}
    with (
        Server("gunicorn-sync", tmp_path, app="guarded:app", environment=environment) as server,
        Nginx(tmp_path, server.port, hub.port) as nginx,
    ):
        for _ in range(2):
            assert ask(nginx.port, "/stream?channel=analytics")[0] == 403
            with Source(nginx.port, "/stream?channel=analytics", Cookie="user=admin") as source:
                assert source.status == 200


def test_without_nginx_the_response_says_what_is_missing(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    app.config.update(SSE_HUB_URL="http://127.0.0.1:9", SSE_HUB_KEY="k" * 32, SSE_HUB_VIA="accel")
    app.config["SSE_HUB_ACCEL_PREFIX"] = "/inside/"
    app.register_blueprint(blueprint, url_prefix="/stream")
    response = app.test_client().get("/stream?channel=a%20b")
    assert response.status_code == 200 and "no nginx" in response.text
    assert response.headers["X-Accel-Redirect"].startswith("/inside/stream?channel=a%20b&ticket=eyJ")
    assert response.content_type == "text/event-stream; charset=utf-8"
