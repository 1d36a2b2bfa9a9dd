"""Values other than strings: they arrive as in Flask-SSE's JSON, with every backend."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import flask_sse
import pytest
from flask import Flask
from flask import json as flask_json
from support.hub import Hub
from support.redis_server import RedisServer
from support.waiting import until

import tidecast
from tidecast.flask_sse import Message, ServerSentEventsBlueprint
from tidecast.sse import Publisher


class Kind(str, enum.Enum):
    GREETING = "greeting"


class Level(enum.IntEnum):
    HIGH = 7


UUID = uuid.UUID(int=7)

DATA = [
    UUID,
    decimal.Decimal("1.50"),
    datetime.date(2026, 11, 30),
    datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.timezone.utc),
    Kind.GREETING,
    "text",
    "",
    Level.HIGH,
    1.5,
    None,
    [UUID],
    {"of": UUID},
]

NAMES = [Kind.GREETING, UUID, Level.HIGH, 5, 1.5, True, decimal.Decimal("1.50"), "text"]


def of_flask_sse(app: Flask, data: Any, type: Any = None, id: Any = None) -> tuple[str, str | None, str | None]:
    """Returns the data, the type and the id that a reader of Flask-SSE receives."""
    with app.app_context():
        payload = flask_json.dumps(flask_sse.Message(data, type=type, id=id).to_dict())
        read = flask_sse.Message(**json.loads(payload))
        text = read.data if isinstance(read.data, str) else flask_json.dumps(read.data)
    return text, read.type and str(read.type), read.id and str(read.id)


@pytest.fixture(params=["memory", "redis", "hub"])
def application(request: pytest.FixtureRequest, app: Flask, blueprint: ServerSentEventsBlueprint) -> Iterator[Flask]:
    """Returns an application with each of the three backends."""
    tidecast.reset()
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        app.config["REDIS_URL"] = server.url
    elif request.param == "hub":
        hub: Hub = request.getfixturevalue("hub")
        app.config.update(hub.settings)
    blueprint.init_app(app)
    yield app
    tidecast.reset()


def test_data_types_and_ids_arrive_as_in_flask_sse(application: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    """A UUID arrived with quotes, on Redis with two pairs, and a member of an enumeration as its name."""
    with tidecast.subscribe("values", last=100) as subscription:
        expected = []
        for data in DATA:
            with application.app_context():
                blueprint.publish(data, channel="values")
            tidecast.publish(data, channel="values")
            expected += [of_flask_sse(application, data)] * 2
        for name in NAMES:
            with application.app_context():
                blueprint.publish("x", type=name, id=name, channel="values")
            expected.append(of_flask_sse(application, "x", name, name))
        for text, type, id in expected:
            event = next(subscription)
            assert (event.data, event.type) == (text, type or "message")
            assert id is None or event.id == id


def test_an_invalid_type_or_id_is_a_type_error(application: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    publisher = Publisher()
    _there = publisher.subscribe()
    for wrong in (b"greeting", ["greeting"], {"a": 1}, ("a", "b")):
        with application.app_context(), pytest.raises(TypeError):
            blueprint.publish("x", type=wrong)
        with pytest.raises(TypeError):
            tidecast.publish("x", id=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            str(Message("x", type=wrong))
        with pytest.raises(TypeError):
            publisher.publish("x", type=wrong)  # type: ignore[arg-type]


def test_on_redis_flask_sse_reads_the_same(
    app: Flask, blueprint: ServerSentEventsBlueprint, redis_server: RedisServer
) -> None:
    app.config["REDIS_URL"] = redis_server.url
    with redis_server.client.pubsub(ignore_subscribe_messages=True) as pubsub, app.app_context():
        pubsub.subscribe("values")
        pubsub.get_message(timeout=5)
        for data in DATA:
            blueprint.publish(data, type=Kind.GREETING, id=UUID, channel="values")
            payload = json.loads(pubsub.get_message(timeout=5)["data"])  # type: ignore[index]
            assert payload == json.loads(flask_json.dumps(flask_sse.Message(data, Kind.GREETING, UUID).to_dict()))


def test_an_enumeration_is_written_as_its_value() -> None:
    assert str(Message("x", type=Kind.GREETING, id=Level.HIGH)) == "event:greeting\ndata:x\nid:7\n\n"


def test_a_publisher_takes_the_value_of_an_enumeration() -> None:
    publisher = Publisher()
    with_type = publisher.subscribe(keep_alive_seconds=0)
    publisher.publish("x", type=Kind.GREETING)
    publisher.close()
    assert "event: greeting\n" in "".join(with_type)


def test_the_same_values_are_accepted_without_an_application() -> None:
    with tidecast.subscribe("values of a script") as subscription:
        tidecast.publish(UUID, id=UUID, channel="values of a script")
        event = next(subscription)
        assert (event.data, event.id) == (str(UUID), str(UUID))


@pytest.mark.parametrize("field", ["type", "id", "retry"])
def test_a_message_cannot_break_out_of_its_lines(field: str) -> None:
    """Overridden `messages` that yielded such a message forged an event."""
    with pytest.raises(ValueError, match=field):
        str(Message("x", **{field: "5\n\ndata: forged"}))


@pytest.mark.parametrize("field", ["type", "id"])
@pytest.mark.parametrize("control", ["\x01stream-reset", "a\x7f", "a\x85b", "a\nb", "\0"])
def test_control_characters_are_refused(
    application: Flask, blueprint: ServerSentEventsBlueprint, field: str, control: str
) -> None:
    """With a hub, a type that began with one vanished, and `\\x01stream-reset` was a forged reset."""
    with application.app_context(), pytest.raises(ValueError, match=f"event {field}"):
        blueprint.publish("x", **{field: control})


@pytest.mark.parametrize("poison", ["[" * 100_000 + "]" * 100_000, "9" * 5_000])
def test_events_that_python_cannot_load_are_skipped(
    app: Flask, blueprint: ServerSentEventsBlueprint, redis_server: RedisServer, poison: str
) -> None:
    """Such an event, which any program on that Redis may publish, ended `messages()`."""
    app.config["REDIS_URL"] = redis_server.url
    with app.app_context():
        # Subscribes in this thread at the first `next`.
        messages = blueprint.messages("poison")

        def publish() -> bool:
            redis_server.client.publish("poison", f'{{"data": {poison}}}')
            return bool(redis_server.client.publish("poison", '{"data": "end"}'))

        thread = threading.Thread(target=until, args=(publish, "Redis has the subscription"))
        thread.start()
        assert next(messages).data == "end"
        thread.join()
        messages.close()
    with pytest.raises(ValueError):
        tidecast.Received("poison", "message", poison, "").json()
