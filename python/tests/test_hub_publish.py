"""Publishing to a running hub."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from flask import Flask
from support.events import event
from support.hub import KEY, Hub
from support.source import Source, ask

import tidecast
from tidecast import InDoubtError, InvalidError, RefusedError, TidecastError, TooLargeError, UnavailableError
from tidecast.flask_sse import ServerSentEventsBlueprint
from tidecast.hub import connections
from tidecast.hub.client import Client


def history(hub: Hub, channel: str) -> list[str]:
    status, text = ask(hub.port, f"/channels/{channel}/events", Authorization=f"Bearer {KEY}")
    assert status == 200, text
    return [item["data"] for item in json.loads(text)["events"]]


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Starts a server that sends these responses, one for each request, and disconnects instead of an empty one."""
    asked: list[bytes] = []

    def serve() -> None:
        connection: socket.socket | None = None
        for answer in answers:
            if connection is None:
                connection, _ = listening.accept()
                connection.settimeout(20)
            asked.append(connection.recv(65536))
            while b"\r\n\r\n" not in asked[-1] or not asked[-1].endswith(b"}"):
                asked[-1] += connection.recv(65536)
            connection.sendall(answer)
            if not answer or b"close" in answer:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(20)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        thread.join()


def answer(status: int, body: str, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body.encode())}", *headers]
    return "\r\n".join([*head, "", body]).encode()


PUBLISHED = answer(200, '{"channel": "sse", "id": "i", "position": "p", "receivers": 3}')


def test_a_view_publishes_and_gets_the_number_of_streams(on_hub: Flask, hub: Hub) -> None:
    blueprint = ServerSentEventsBlueprint("sse", __name__)
    with on_hub.app_context(), Source(hub.port, "/stream?channel=news", Authorization=f"Bearer {KEY}") as source:
        source.block()
        assert blueprint.publish({"b": "é", "a": [1]}, type="greeting", id="own", retry=5, channel="news") == 1
        assert source.event() == {"id": "own", "event": "greeting", "retry": "5", "data": '{"a": [1], "b": "\\u00e9"}'}
        blueprint.publish("two\nlines", channel="news")
        assert source.event()["data"] == "two\nlines"


def test_publishing_needs_no_application(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hub.settings.items():
        monkeypatch.setenv(name, value)
    published = tidecast.publish({"a": 1}, channel="größe")
    assert (published.channel, published.receivers, published.repeated) == ("größe", 0, False)
    assert published.id == published.position
    # The members `repeated` and `differs` were dropped.
    once = [tidecast.publish(data, channel="once", idempotency_key="key") for data in ("x", "x", "y")]
    assert [again.repeated for again in once] == [False, True, True]
    assert [again.differs for again in once] == [False, False, True]


def test_every_member_of_the_response_is_returned() -> None:
    """The member `delayed` was dropped."""
    delayed = answer(200, '{"channel": "c", "id": "i", "position": "p", "receivers": 0, "delayed": true}')
    with answering(PUBLISHED, delayed) as (url, _):
        client = Client(url, KEY)
        assert [client.publish("c", event("x")).delayed for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    "data",
    [
        *("", "text", '"quoted"', "17", "é\u2028\n\r\nx", "\x00"),
        *(17, None, True, [], {"a": '"'}, {"a": float("nan")}, "NaN", ["NaN"], float("inf")),
    ],
)
def test_data_arrives_as_it_does_in_memory(hub: Hub, data: object) -> None:
    Client(hub.url, KEY).publish("c", event(data))
    expected = data if isinstance(data, str) else json.dumps(data)
    assert history(hub, "c") == ["\n".join(expected.replace("\r\n", "\n").split("\r"))]


def test_an_idempotency_key_publishes_once(hub: Hub) -> None:
    client = Client(hub.url, KEY)
    first, again = (client.publish("c", event(data), "key") for data in ("one", "two"))
    assert (first.position, history(hub, "c")) == (again.position, ["one"])


@pytest.mark.parametrize(
    ("channel", "fields", "error"),
    [
        ("", {}, InvalidError),
        ("a\nb", {}, InvalidError),
        ("x" * 256, {}, InvalidError),
        ("c", {"type": "a\nb"}, InvalidError),
        ("c", {"id": "a\0b"}, InvalidError),
        ("c", {"type": "stream-reset"}, InvalidError),
        ("c", {"data": "x" * (1024 * 1024 + 1)}, TooLargeError),
        ("c", {"data": "x" * (3 * 1024 * 1024)}, TooLargeError),
    ],
)
def test_an_invalid_event_is_a_value_error(
    hub: Hub, channel: str, fields: dict[str, object], error: type[ValueError]
) -> None:
    client = Client(hub.url, KEY)
    with pytest.raises(error) as refused:
        client.publish(channel, event(**{"data": "x", **fields}))  # type: ignore[arg-type]
    assert isinstance(refused.value, ValueError) and isinstance(refused.value, TidecastError)
    # The client can still be used.
    assert client.publish("c", event("y")).receivers == 0


def test_a_wrong_key_is_reported(hub: Hub) -> None:
    with pytest.raises(RefusedError, match="SSE_HUB_KEY") as refused:
        Client(hub.url, "wrong-key").publish("c", event("x"))
    assert "wrong-key" not in str(refused.value)


def test_an_unreachable_hub_is_reported(hub: Hub) -> None:
    client = Client(hub.url, KEY)
    hub.kill()
    with pytest.raises(UnavailableError, match="cannot be reached") as unavailable:
        client.publish("c", event("x"))
    assert not isinstance(unavailable.value, InDoubtError)


def test_one_connection_serves_many_requests(hub: Hub) -> None:
    client = Client(hub.url, KEY)
    for number in range(5):
        client.publish("c", event(f"{number}"))
    assert [len(client._pool._current()._idle), history(hub, "c")] == [1, list("01234")]


def test_idle_connections_have_a_bound(hub: Hub) -> None:
    client = Client(hub.url, KEY)
    begin = threading.Barrier(connections.IDLE_MAX * 2)

    def publish() -> None:
        begin.wait(20)
        for _ in range(5):
            client.publish("c", event("x"))

    threads = [threading.Thread(target=publish) for _ in range(begin.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history(hub, "c")) == 100
    assert 1 <= len(client._pool._current()._idle) <= connections.IDLE_MAX


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restarted_hub_is_found_at_once(hub: Hub, how: str) -> None:
    client = Client(hub.url, KEY)
    client.publish("c", event("one"))
    getattr(hub, how)()
    hub.start()
    # At the first attempt: the idle connection is found closed before anything is sent.
    client.publish("c", event("two"))
    assert history(hub, "c") == ["two"]


def test_a_long_idle_connection_is_closed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(hub.url, KEY)
    client.publish("c", event("one"))
    ((before, _),) = client._pool._current()._idle
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
    client.publish("c", event("two"))
    assert before.sock is None


def test_a_lost_response_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server disconnects after it has received the event."""
    with answering(b"") as (url, _), pytest.raises(InDoubtError, match="was lost"):
        Client(url, KEY).publish("sse", event("x"))
    # Also on an idle connection: a repeated request could publish twice.
    with answering(PUBLISHED, b"") as (url, asked):
        client = Client(url, KEY)
        client.publish("sse", event("x"))
        with pytest.raises(InDoubtError, match="was lost"):
            client.publish("sse", event("y"))
    assert len(asked) == 2
    monkeypatch.setattr(connections, "TIMEOUT_SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", KEY)
        with pytest.raises(InDoubtError, match=r"did not respond within 0\.2 s"):
            client.publish("sse", event("x"), "key")


def test_with_a_key_a_lost_request_is_repeated() -> None:
    with answering(PUBLISHED, b"", PUBLISHED) as (url, asked):
        client = Client(url, KEY)
        client.publish("sse", event("x"))
        assert client.publish("sse", event("y"), "key").receivers == 3
    assert asked[1] == asked[2]
    # A new connection cannot have been idle for too long.
    with answering(b"") as (url, _), pytest.raises(InDoubtError):
        Client(url, KEY).publish("sse", event("x"), "key")


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(503, '{"detail": "redis is away"}'), UnavailableError),
        (answer(503, '{"detail": "lost", "in_doubt": true}'), InDoubtError),
        (answer(429, ""), UnavailableError),
        (answer(502, "<html>"), InDoubtError),
        (answer(404, "[]"), TidecastError),
        (answer(301, "", "Location: https://hub/publish"), TidecastError),
        (answer(200, "It works!"), TidecastError),
        (answer(200, "{}"), TidecastError),
        (answer(200, "x" * 100_000, "Connection: close"), TidecastError),
        (b"SSH-2.0-OpenSSH close\r\n", InDoubtError),
    ],
)
def test_every_other_response_is_an_error(response: bytes, error: type[TidecastError]) -> None:
    with answering(response) as (url, _), pytest.raises(TidecastError) as raised:
        Client(url, KEY).publish("sse", event("x"))
    assert type(raised.value) is error


def test_a_child_opens_its_own_connections(hub: Hub) -> None:
    client = Client(hub.url, KEY)
    client.publish("c", event("parent"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            client.publish("c", event("child"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ((before, _),) = client._pool._current()._idle
    client.publish("c", event("parent"))
    ((after, _),) = client._pool._current()._idle
    assert before is after
    assert history(hub, "c") == ["parent", "child", "parent"]


def test_an_address_may_have_a_path() -> None:
    with answering(PUBLISHED) as (url, asked):
        assert Client(f"{url}/hub", KEY).publish("sse", event("x")).id == "i"
    assert asked[0].startswith(b"POST /hub/publish HTTP/1.1\r\n")
