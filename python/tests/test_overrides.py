"""Overrides and replacements by an application, with every backend."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
from flask import Flask, Response, current_app, request
from support.waiting import until
from werkzeug.test import TestResponse

import tidecast.flask_sse
from tidecast.flask_sse import Message, ServerSentEventsBlueprint


def routed(kind: type[ServerSentEventsBlueprint], app: Flask) -> ServerSentEventsBlueprint:
    made = kind("sse", __name__)
    made.add_url_rule(rule="", endpoint="stream", view_func=made.stream)
    app.register_blueprint(made, url_prefix="/stream")
    return made


def first_of(response: TestResponse) -> bytes:
    """Returns the first piece after the empty one that sends the head."""
    pieces: Iterator[bytes] = iter(response.response)  # type: ignore[arg-type]
    assert next(pieces) == b""
    return next(pieces)


class Faked(ServerSentEventsBlueprint):
    """A blueprint whose client has options that a URL cannot have."""

    server = fakeredis.FakeServer()

    @property
    def redis(self) -> Any:
        return fakeredis.FakeStrictRedis(server=self.server)


def later(app: Flask, publish: Callable[[], object]) -> threading.Thread:
    """Publishes in a thread until a subscriber receives it."""

    def run() -> None:
        with app.app_context():
            until(publish, "a subscriber receives it")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_an_overridden_redis_is_published_through(app: Flask) -> None:
    blueprint = routed(Faked, app)
    listener = blueprint.redis.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("sse")
    listener.get_message()
    with app.app_context():
        assert blueprint.publish({"b": 1, "a": 2}, type="t", id=3, retry=4) == 1
    payload = listener.get_message(timeout=5)["data"]
    assert payload == b'{"data": {"a": 2, "b": 1}, "id": 3, "retry": 4, "type": "t"}'
    with app.app_context(), pytest.raises(ValueError, match="event type"):
        blueprint.publish("x", type="t\ndata: forged")


def test_an_overridden_redis_takes_precedence_over_a_hub_with_a_warning(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config.update(SSE_HUB_URL="http://127.0.0.1:9", SSE_HUB_KEY="k" * 32)
    blueprint = routed(Faked, app)
    with app.app_context():
        assert [blueprint.publish("x") for _ in range(2)] == [0, 0]
    assert [record.message.startswith("SSE_HUB_URL is set") for record in caplog.records] == [True]


def test_an_overridden_redis_is_streamed_with_flask_sses_bytes(app: Flask) -> None:
    blueprint = routed(Faked, app)
    response = app.test_client().get("/stream?channel=own", buffered=False)
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    thread = later(app, lambda: blueprint.publish("x", type="t", channel="own"))
    assert first_of(response) == b"event:t\ndata:x\n\n"
    thread.join()
    response.close()


def test_undecodable_messages_are_skipped(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A message that was not JSON, had an unknown key or was nested too deep ended every stream of its channel, and a
    line break in a type or an id forged an event."""
    blueprint = routed(Faked, app)
    undecodable = ["no json", b"\xff", "17", "null", '{"data": 1, "more": 2}', '{"type": "t"}', '["one"]']
    undecodable += [f'{{"data": {"[" * 100_000}{"]" * 100_000}}}', f'{{"data": {"9" * 5000}}}']
    for field in ("type", "id", "retry"):
        undecodable += [json.dumps({"data": "x", field: "1\n\ndata: forged"}), json.dumps({"data": "x", field: ["t"]})]

    def publish() -> bool:
        for payload in undecodable:
            blueprint.redis.publish("mixed", payload)
        blueprint.redis.publish("mixed", json.dumps(["older", "lines"]))
        return bool(blueprint.redis.publish("mixed", json.dumps({"data": "end"})))

    with app.app_context(), caplog.at_level(logging.WARNING, "tidecast"):
        messages = blueprint.messages("mixed")
        thread = later(app, publish)
        first = next(messages)
        thread.join()
        messages.close()
    assert first in (Message("lines", type="older"), Message("end"))
    # Not every one is logged, so that a publisher cannot flood the log.
    assert all("skipped an event" in record.message for record in caplog.records) and len(caplog.records) <= 3


def test_a_replaced_strict_redis_is_used(
    app: Flask, blueprint: ServerSentEventsBlueprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fakeredis.FakeServer()

    class Fake(fakeredis.FakeStrictRedis):
        @classmethod
        def from_url(cls, url: str, **_: object) -> Fake:
            return cls(server=server)

    monkeypatch.setattr(tidecast.flask_sse, "StrictRedis", Fake)
    app.config["REDIS_URL"] = "redis://nowhere.invalid"
    with app.app_context():
        assert blueprint.publish("x") == 0


def test_a_replaced_from_url_is_used(
    app: Flask, blueprint: ServerSentEventsBlueprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fakeredis.FakeStrictRedis()
    monkeypatch.setattr(tidecast.flask_sse.StrictRedis, "from_url", lambda url: fake)
    app.config["REDIS_URL"] = "redis://nowhere.invalid"
    with app.app_context():
        assert blueprint.publish("x") == 0


def test_without_redis_py_the_engine_works_and_the_client_says_what_to_install(
    app: Flask, blueprint: ServerSentEventsBlueprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import sys

    from tidecast.flask_sse import redis_py

    monkeypatch.setitem(sys.modules, "redis", None)
    try:
        importlib.reload(redis_py)
        monkeypatch.setattr(tidecast.flask_sse, "StrictRedis", redis_py.StrictRedis)
        with app.app_context():
            assert blueprint.publish("x", channel="without") == 0
            app.config["REDIS_URL"] = "redis://localhost"
            with pytest.raises(ImportError, match=r"tidecast\[redis\]"):
                _ = blueprint.redis
    finally:
        monkeypatch.undo()
        importlib.reload(redis_py)


def test_overridden_messages_are_streamed_with_their_request(app: Flask) -> None:
    class Own(ServerSentEventsBlueprint):
        def messages(self, channel: str = "sse") -> Iterator[Message]:  # type: ignore[override]
            yield Message(f"{channel} for {request.args['user']} of {current_app.name}", id="own")

    routed(Own, app)
    response = app.test_client().get("/stream?channel=c&user=u")
    assert response.text == "data:c for u of tests\nid:own\n\n"


def test_overridden_messages_cannot_forge_an_event(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    class Own(ServerSentEventsBlueprint):
        def messages(self, channel: str = "sse") -> Iterator[Message]:  # type: ignore[override]
            yield Message("x", type="t\ndata: forged")
            yield Message({1, 2})
            yield Message("y")

    routed(Own, app)
    assert app.test_client().get("/stream").text == "data:y\n\n"


def test_overridden_messages_may_change_the_original_ones(app: Flask, channel: str) -> None:
    class Shouting(ServerSentEventsBlueprint):
        def messages(self, channel: str = "sse") -> Iterator[Message]:  # type: ignore[override]
            for message in super().messages(channel=channel):
                yield Message(message.data.upper(), type=message.type)

    blueprint = routed(Shouting, app)
    response = app.test_client().get(f"/stream?channel={channel}", buffered=False)
    thread = later(app, lambda: blueprint.publish("x", type="t", channel=channel))
    assert first_of(response) == b"event:t\ndata:X\n\n"
    thread.join()
    response.close()


def test_an_overridden_stream_is_the_view(app: Flask, channel: str) -> None:
    class Open(ServerSentEventsBlueprint):
        def stream(self) -> Response:
            response = super().stream()
            response.headers["Access-Control-Allow-Origin"] = "*"
            return response

    blueprint = routed(Open, app)
    response = app.test_client().get(f"/stream?channel={channel}", buffered=False)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    with app.app_context():
        assert blueprint.publish("x", channel=channel) == 1
    response.close()
