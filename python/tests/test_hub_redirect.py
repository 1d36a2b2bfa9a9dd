"""The view with a hub: after the application's guards, it redirects to the hub with a ticket."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask, Response, abort, request
from support.hub import KEY, Hub
from support.source import Source, ask
from werkzeug.test import TestResponse

from tidecast.flask_sse import Message, ServerSentEventsBlueprint
from tidecast.hub.ticket import Signer

#: Settings for tests that need no hub.
NOWHERE = {"SSE_HUB_URL": "http://127.0.0.1:9", "SSE_HUB_KEY": KEY}


@pytest.fixture
def served(app: Flask, blueprint: ServerSentEventsBlueprint) -> Flask:
    app.config.update(NOWHERE)
    app.register_blueprint(blueprint, url_prefix="/stream")
    return app


def query_of(response: TestResponse) -> list[tuple[str, str]]:
    assert response.status_code == 302
    return parse_qsl(urlsplit(response.headers["Location"]).query, strict_parsing=True, keep_blank_values=True)


def claims_of(response: TestResponse) -> dict[str, Any]:
    part = dict(query_of(response))["ticket"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return claims


def followed(response: TestResponse, **headers: str) -> Source:
    """Follows the redirect."""
    assert response.status_code == 302
    location = urlsplit(response.headers["Location"])
    assert location.port is not None
    return Source(location.port, f"{location.path}?{location.query}", **headers)


def test_the_redirect_is_not_cached(served: Flask) -> None:
    for method in ("GET", "HEAD"):
        response = served.test_client().open("/stream?channel=news", method=method)
        assert response.status_code == 302 and not response.data
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        location = urlsplit(response.headers["Location"])
        assert (location.scheme, location.netloc, location.path) == ("http", "127.0.0.1:9", "/stream")
        assert [name for name, _ in query_of(response)] == ["channel", "ticket"]


def test_the_ticket_opens_one_channel_for_twelve_hours(served: Flask) -> None:
    before = int(time.time())
    claims = claims_of(served.test_client().get("/stream?channel=größe %26 co"))
    assert claims["subscribe"] == ["größe & co"] and claims["use"] == "ticket"
    assert before + 43_200 <= claims["exp"] <= int(time.time()) + 43_200
    assert claims_of(served.test_client().get("/stream"))["subscribe"] == ["sse"]
    served.config["SSE_HUB_TICKET_SECONDS"] = 60
    assert claims_of(served.test_client().get("/stream"))["exp"] <= int(time.time()) + 60


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("https://events.example.org", "https://events.example.org/stream?channel=sse&ticket="),
        ("https://example.org/hub/", "https://example.org/hub/stream?channel=sse&ticket="),
        ("/hub", "/hub/stream?channel=sse&ticket="),
    ],
)
def test_the_redirect_leads_to_the_public_address(served: Flask, public: str, expected: str) -> None:
    served.config["SSE_HUB_PUBLIC_URL"] = public
    assert served.test_client().get("/stream").headers["Location"].startswith(expected)


def test_parameters_are_passed_on(served: Flask) -> None:
    client = served.test_client()
    query = "channel=a%2Fb&channel=other&last=5&open=1&lastEventId=0d38ec4c1338.4&token=mine"
    pairs = query_of(client.get(f"/stream?{query}"))
    assert pairs[:-1] == [("channel", "a/b"), ("last_event_id", "0d38ec4c1338.4"), ("last", "5"), ("open", "1")]
    for query in ("last=&open=true", "last=&open=&open=1&token=%ff"):
        assert query_of(client.get(f"/stream?{query}"))[:-1] == [("channel", "sse"), ("open", "1")]
    # For clients that drop the header at a redirect.
    pairs = query_of(client.get("/stream?last_event_id=old", headers={"Last-Event-ID": "a b&ticket=x"}))
    assert pairs[:-1] == [("channel", "sse"), ("last_event_id", "a b&ticket=x")]
    # Any bytes are passed on.
    location = client.get("/stream", headers={"Last-Event-ID": "\xff"}).headers["Location"]
    assert "last_event_id=%FF&" in location


def test_only_the_first_channel_counts_unless_the_application_allows_more(served: Flask) -> None:
    client = served.test_client()
    asked = "/stream?channel=public&channel=analytics&channel=public"
    assert claims_of(client.get(asked))["subscribe"] == ["public"]
    served.config["SSE_MULTI_CHANNEL"] = True
    response = client.get(asked)
    assert claims_of(response)["subscribe"] == ["public", "analytics"]
    assert [value for name, value in query_of(response) if name == "channel"] == ["public", "analytics"]


@pytest.mark.parametrize("query", [f"channel={'x' * 256}", "channel=a%0Ab", "last=x", "last=1001"])
def test_invalid_parameters_are_a_bad_request(served: Flask, query: str) -> None:
    assert served.test_client().get(f"/stream?{query}").status_code == 400


def test_too_many_channels_are_a_bad_request(served: Flask) -> None:
    served.config["SSE_MULTI_CHANNEL"] = True
    query = "&".join(f"channel={number}" for number in range(65))
    assert served.test_client().get(f"/stream?{query}").status_code == 400


def test_a_guard_runs_first(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    """A client names the guarded channel of Flask-SSE's documentation after a public one."""

    @blueprint.before_request
    def check_access() -> None:
        if request.args.get("channel") == "analytics":
            abort(403)

    app.config.update(NOWHERE)
    app.register_blueprint(blueprint, url_prefix="/stream")
    client = app.test_client()
    refused = client.get("/stream?channel=analytics")
    assert refused.status_code == 403 and "Location" not in refused.headers
    assert claims_of(client.get("/stream?channel=public&channel=analytics"))["subscribe"] == ["public"]


def test_an_overridden_stream_is_the_view(app: Flask) -> None:
    class Open(ServerSentEventsBlueprint):
        def stream(self) -> Response:
            response = super().stream()
            response.headers["Access-Control-Allow-Origin"] = "https://example.org"
            return response

    made = Open("sse", __name__)
    made.add_url_rule(rule="", endpoint="stream", view_func=made.stream)
    app.config.update(NOWHERE)
    app.register_blueprint(made, url_prefix="/stream")
    response = app.test_client().get("/stream")
    assert response.status_code == 302
    assert response.headers["Access-Control-Allow-Origin"] == "https://example.org"


def test_overridden_messages_are_streamed_by_the_application(app: Flask) -> None:
    class Own(ServerSentEventsBlueprint):
        def messages(self, channel: str = "sse") -> Iterator[Message]:  # type: ignore[override]
            yield Message(f"of {channel}")

    made = Own("sse", __name__)
    made.add_url_rule(rule="", endpoint="stream", view_func=made.stream)
    app.config.update(NOWHERE)
    app.register_blueprint(made, url_prefix="/stream")
    assert app.test_client().get("/stream?channel=c").text == "data:of c\n\n"


def test_no_warning_is_logged_for_a_hub(served: Flask, caplog: pytest.LogCaptureFixture) -> None:
    environment = {"wsgi.multiprocess": True, "wsgi.multithread": False}
    assert served.test_client().get("/stream", environ_overrides=environment).status_code == 302
    assert not caplog.records


def test_the_hub_accepts_the_ticket_and_nothing_else(
    on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub
) -> None:
    on_hub.register_blueprint(blueprint, url_prefix="/stream")
    client = on_hub.test_client()
    with on_hub.app_context(), followed(client.get("/stream?channel=größe %26 co")) as source:
        assert source.status == 200
        source.block()
        assert blueprint.publish("one", channel="größe & co") == 1
        last = source.event()["id"]
        blueprint.publish("two", channel="größe & co")
        again = client.get("/stream?channel=größe %26 co", headers={"Last-Event-ID": last})
        with followed(again) as resumed:
            assert resumed.event()["data"] == "two"
        # A browser that reconnects to the redirect's target has a newer id.
        last = source.event()["id"]
        blueprint.publish("three", channel="größe & co")
        with followed(again, Last_Event_ID=last) as resumed:
            assert resumed.event()["data"] == "three"
    ticket = dict(query_of(client.get("/stream?channel=public")))["ticket"]
    assert ask(hub.port, f"/stream?channel=analytics&ticket={ticket}")[0] == 403
    assert ask(hub.port, "/stream?channel=public")[0] == 401
    past = Signer(KEY).ticket(["public"], -1)
    assert ask(hub.port, f"/stream?channel=public&ticket={past}")[0] == 401
    other = Signer("another key").ticket(["public"], 60)
    assert ask(hub.port, f"/stream?channel=public&ticket={other}")[0] == 401
