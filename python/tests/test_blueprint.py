"""The blueprint in memory: the behaviour of Flask-SSE, and its mended faults."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Blueprint, Flask, Response, abort, g, request, url_for
from werkzeug.test import TestResponse

from tidecast import UnavailableError
from tidecast.backends.engine import EngineBackend
from tidecast.flask_sse import Message, ServerSentEventsBlueprint


@pytest.fixture
def served(app: Flask, blueprint: ServerSentEventsBlueprint) -> Flask:
    app.register_blueprint(blueprint, url_prefix="/stream")
    return app


class Reader:
    """A client that reads a stream."""

    def __init__(self, response: TestResponse) -> None:
        self._pieces: Iterator[bytes] = iter(response.response)  # type: ignore[arg-type]
        self._text = ""

    def until(self, words: str) -> str:
        """Reads until these words arrive, and returns the text before them."""
        while words not in self._text:
            self._text += next(self._pieces).decode()
        before, _, self._text = self._text.partition(words)
        return before


@contextmanager
def streamed(app: Flask, query: str, **headers: str) -> Iterator[Reader]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = app.test_client().get(f"/stream?{query}", headers=named, buffered=False)
    assert response.status_code == 200
    try:
        yield Reader(response)
    finally:
        response.close()


def test_publish_returns_the_number_of_streams(
    served: Flask, blueprint: ServerSentEventsBlueprint, channel: str
) -> None:
    with served.app_context():
        assert blueprint.publish("nobody", channel=channel) == 0
        with streamed(served, f"channel={channel}") as reader:
            reader.until("id: ")
            assert blueprint.publish({"b": 1, "a": [None]}, type="t", id=5, retry=6, channel=channel) == 1
            reader.until('event: t\nretry: 6\ndata: {"a": [null], "b": 1}\nid: 5\n\n')
        assert blueprint.publish("gone", channel=channel) == 0


def test_only_the_first_channel_counts_as_guards_read_that_one(
    app: Flask, blueprint: ServerSentEventsBlueprint
) -> None:
    """A client names the guarded channel of Flask-SSE's documentation after a public one."""

    @blueprint.before_request
    def check_access() -> None:
        if request.args.get("channel") == "analytics":
            abort(403)

    app.register_blueprint(blueprint, url_prefix="/stream")
    client = app.test_client()
    assert client.get("/stream?channel=analytics").status_code == 403
    with app.app_context(), streamed(app, "channel=public&channel=analytics") as reader:
        assert blueprint.publish("secret", channel="analytics") == 0
        assert blueprint.publish("open", channel="public") == 1
        reader.until("data: open\nid: ")


def test_several_channels_if_the_application_allows_them(
    served: Flask, blueprint: ServerSentEventsBlueprint, channel: str
) -> None:
    served.config["SSE_MULTI_CHANNEL"] = True
    query = f"channel={channel}a&channel={channel}b&channel={channel}a"
    with served.app_context():
        with streamed(served, query) as reader:
            blueprint.publish("one", channel=f"{channel}a")
            reader.until("data: one\nid: ")
            last = reader.until("\n\n")
        assert last.count(",") == 1
        blueprint.publish("two", channel=f"{channel}b")
        blueprint.publish("three", channel=f"{channel}a")
        with streamed(served, query, Last_Event_ID=last) as reader:
            blocks = [reader.until("\n\n") for _ in range(2)]
        assert sorted(re.findall("data: (.*)", "\n".join(blocks))) == ["three", "two"]


@pytest.mark.parametrize("asked", ["last=2", "last_event_id=0123456789ab.3", "lastEventId=0123456789ab.3"])
def test_a_stream_may_begin_with_past_events(
    served: Flask, blueprint: ServerSentEventsBlueprint, channel: str, asked: str
) -> None:
    with served.app_context():
        for data in ("one", "two"):
            blueprint.publish(data, channel=channel)
        with streamed(served, f"channel={channel}&{asked}") as reader:
            before = reader.until("data: one\nid: ")
            assert ("stream-reset" in before) == ("last=" not in asked)
            reader.until("data: two\nid: ")
        # The header takes precedence, because a browser that reconnects repeats the address.
        with streamed(served, f"channel={channel}&{asked}", Last_Event_ID="no id of ours") as reader:
            assert '"reason":"unknown-id"' in reader.until("data: one")


def test_invalid_parameters_are_a_bad_request(served: Flask) -> None:
    client = served.test_client()
    wrong = ("last=x", "last=1001", "last=-1", "last=²", f"channel={'x' * 256}", "channel=a%0Ab")
    # Bytes that are not UTF-8 became another channel's name, `open=2` was ignored, and of two the first counted.
    twice = ("last=1&last=2", "open=1&open=1", "lastEventId=a&lastEventId=b")
    for query in (*wrong, *twice, "channel=%ff", "last=%ff", "open=%ff", "open=2"):
        assert client.get(f"/stream?{query}").status_code == 400, query


def test_an_invalid_setting_is_not_the_browsers_fault(served: Flask) -> None:
    """A malformed Redis URL was a 400, which showed it to every client, and logged nothing."""
    served.config.update(SSE_REDIS_URL="nowhere", TESTING=False)
    assert served.test_client().get("/stream").status_code == 500


def test_a_page_reconnects_later_if_the_process_is_full(served: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a 500, on which an `EventSource` closes for good."""

    def full(*_: object) -> None:
        raise UnavailableError("as many channels as may be read are read")

    monkeypatch.setattr(EngineBackend, "open", full)
    response = served.test_client().get("/stream")
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    found = re.fullmatch(r"retry: (\d+)\n", response.text)
    assert found is not None and 5_000 <= int(found[1]) <= 30_000


def test_methods_and_addresses(served: Flask, channel: str) -> None:
    client = served.test_client()
    head = client.head(f"/stream?channel={channel}")
    assert (head.status_code, head.data, head.mimetype) == (200, b"", "text/event-stream")
    assert client.post("/stream").status_code == 405
    assert client.get("/stream/").status_code == 404
    with served.test_request_context():
        assert url_for("sse.stream", channel="users.social") == "/stream?channel=users.social"


def test_an_empty_channel_is_the_default_one(served: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    with served.app_context():
        for query in ("", "channel="):
            with streamed(served, query) as reader:
                assert blueprint.publish("x") == 1
                reader.until("data: x\nid: ")


@pytest.mark.parametrize("field", ["type", "id", "retry"])
def test_line_breaks_in_fields_are_refused(
    served: Flask, blueprint: ServerSentEventsBlueprint, field: str, channel: str
) -> None:
    """Flask-SSE wrote types, ids and times unchecked: a line break in one could forge an event."""
    with served.app_context(), pytest.raises(ValueError, match=field):
        blueprint.publish("x", channel=channel, **{field: "1\ndata: forged\n\n"})


def test_data_without_a_json_form_is_a_type_error(served: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    with served.app_context(), pytest.raises(TypeError):
        blueprint.publish(b"bytes")


def test_messages_yield_what_was_published(served: Flask, blueprint: ServerSentEventsBlueprint, channel: str) -> None:
    with served.app_context():
        messages = blueprint.messages(channel)
        # As in Flask-SSE, the subscription begins with the first `next`.
        assert blueprint.publish("before", channel=channel) == 0
        published = [{"a": [1]}, '{"a": [1]}', "17", 17, None, "two\nlines"]

        def later() -> None:
            with served.app_context():
                while not blueprint.publish(published[0], type="t", id=7, channel=channel):
                    pass
                for data in published[1:]:
                    blueprint.publish(data, channel=channel)

        thread = threading.Thread(target=later)
        thread.start()
        # The first may have been published several times before the subscription.
        received = [next(messages) for _ in published]
        thread.join()
        assert received[0] == Message({"a": [1]}, type="t", id="7")
        assert [message.data for message in received[1:]] == published[1:]
        messages.close()
        assert blueprint.publish("after", channel=channel) == 0


def test_messages_yield_no_reset_for_missing_events(
    served: Flask, blueprint: ServerSentEventsBlueprint, channel: str
) -> None:
    """A `stream-reset` with an object as data was yielded in their place, which Flask-SSE never does."""
    with served.app_context():
        messages = blueprint.messages(channel)
        thread = threading.Thread(target=publish_until_received, args=(served, blueprint, channel))
        thread.start()
        assert next(messages).data == "first"
        thread.join()
        # More events than a channel retains.
        for number in range(10_100):
            blueprint.publish(str(number), channel=channel)
        received = [next(messages)]
        while received[-1].data != "10099":
            received.append(next(messages))
        messages.close()
    assert len(received) < 10_100
    assert {message.type for message in received} == {None}


def publish_until_received(app: Flask, blueprint: ServerSentEventsBlueprint, channel: str) -> None:
    with app.app_context():
        while not blueprint.publish("first", channel=channel):
            pass


def test_an_open_stream_holds_no_request_context(served: Flask, channel: str) -> None:
    """Flask-SSE kept the request for hours, and with it what a teardown releases, such as database sessions."""
    torn_down = []
    served.teardown_appcontext(lambda _: torn_down.append(True))

    class Session:
        pass

    seen: list[weakref.ref[Session]] = []

    @served.before_request
    def open_session() -> None:
        g.session = Session()
        seen.append(weakref.ref(g.session))

    with streamed(served, f"channel={channel}") as reader:
        reader.until("id: ")
        gc.collect()
        assert torn_down and seen[0]() is None


def test_a_nested_blueprint(app: Flask, blueprint: ServerSentEventsBlueprint, channel: str) -> None:
    outer = Blueprint("api", __name__, url_prefix="/api")
    outer.register_blueprint(blueprint, url_prefix="/stream")
    app.register_blueprint(outer)
    with app.test_request_context():
        assert url_for("api.sse.stream") == "/api/stream"
    response = app.test_client().get(f"/api/stream?channel={channel}", buffered=False)
    with app.app_context():
        assert blueprint.publish("x", channel=channel) == 1
    Reader(response).until("data: x\nid: ")
    response.close()


def test_keep_alives_and_the_bounded_life(served: Flask, channel: str) -> None:
    served.config.update(SSE_KEEP_ALIVE_SECONDS=0.05, SSE_RETRY_MS=7)
    with streamed(served, f"channel={channel}") as reader:
        assert "retry: 7\n" in reader.until("id: ")
        reader.until("\n:\n")
        reader.until(":\n")
    # The test client is a server that handles one request at a time.
    served.config["SSE_MAX_STREAM_SECONDS"] = 0.2
    response: Response = served.test_client().get(f"/stream?channel={channel}")
    assert response.data.endswith(b"\n:\n")


@pytest.mark.parametrize(
    ("headers", "end"),
    [
        ({"Cache-Control": "no-cache", "User-Agent": "Mozilla/5.0 (X11)"}, "\n\n"),
        ({"Cache-Control": "no-cache", "User-Agent": "okhttp/4.12.0"}, "\n"),
        ({"User-Agent": "Mozilla/5.0 (X11)", "Sec-Fetch-Mode": "cors"}, "\n"),
    ],
    ids=["EventSource", "Java", "fetch"],
)
def test_the_first_block_is_no_message_for_any_client(
    served: Flask, channel: str, headers: dict[str, str], end: str
) -> None:
    """A page that reads by ``fetch`` received an empty message, which is not JSON."""
    response = served.test_client().get(f"/stream?channel={channel}", headers=headers, buffered=False)
    first = next(iter(response.response))
    assert isinstance(first, bytes) and re.fullmatch(r": tidecast\nretry: 3000\nid: \S+" + end, first.decode())
    response.close()
