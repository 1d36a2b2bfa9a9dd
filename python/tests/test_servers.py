"""Real servers and real connections."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.server import Server
from support.source import Source, ask
from support.waiting import until

#: Servers that handle other requests while a stream is open.
MANY_AT_ONCE = ["flask", "gunicorn-gthread", "gunicorn-gevent", "waitress"]

#: Servers that expose the client's socket, or a function to ask.
EXPOSE_THE_CLIENT = ["flask", "gunicorn-gthread", "gunicorn-gevent", "waitress-lookahead"]


def listeners(server: Server, channel: str = "sse") -> int:
    return int(ask(server.port, f"/receivers?channel={channel}")[1])


@pytest.mark.parametrize("kind", MANY_AT_ONCE)
def test_headers_and_the_first_block_arrive_at_once(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path) as server, Source(server.port) as source:
        assert source.status == 200
        assert source.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert source.response.headers["Cache-Control"] == "no-cache, no-transform"
        assert source.response.headers["X-Accel-Buffering"] == "no"
        first = source.block()
        assert first["comment"] == "tidecast" and first["retry"] == "3000"
        # The id of the stream's beginning.
        assert source.block()["id"].endswith(".0") if "id" not in first else first["id"].endswith(".0")
        assert ask(server.port, "/hello?data=one&type=greeting") == (200, "1")
        event = source.event()
        assert (event["event"], event["data"]) == ("greeting", "one")


@pytest.mark.parametrize("kind", MANY_AT_ONCE)
def test_a_stream_resumes_after_the_last_id(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path) as server:
        with Source(server.port) as source:
            ask(server.port, "/hello?data=one")
            last = source.event()["id"]
        ask(server.port, "/hello?data=two")
        ask(server.port, "/hello?data=three")
        with Source(server.port, Last_Event_ID=last) as source:
            assert [source.event()["data"] for _ in range(2)] == ["two", "three"]
        with Source(server.port, f"/stream?lastEventId={last}") as source:
            assert source.event()["data"] == "two"
        with Source(server.port, Last_Event_ID="0123456789ab.7") as source:
            reset = source.event()
            assert reset["event"] == "stream-reset" and '"reason":"restarted"' in reset["data"]
            assert source.event()["data"] == "one"


def test_a_worker_that_serves_one_at_a_time_is_free_at_once(tmp_path: Path) -> None:
    environment = {"SSE_KEEP_ALIVE_SECONDS": "60", "SSE_MAX_STREAM_SECONDS": "0"}
    with Server("gunicorn-sync", tmp_path, "--timeout", "120", environment=environment) as server:
        with Source(server.port) as source:
            source.block()
        assert ask(server.port, "/hello") == (200, "0")


@pytest.mark.parametrize("kind", EXPOSE_THE_CLIENT[:3])
def test_overridden_messages_end_with_the_client(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path) as server:
        with Source(server.port, "/shouting?channel=loud") as source:
            until(lambda: ask(server.port, "/hello?channel=loud&data=one")[1] == "1", "the stream is open")
            assert source.event()["data"] == "ONE"
        until(lambda: listeners(server, "loud") == 0, "the stream has ended")


def test_a_client_that_sent_more_bytes_is_noticed_by_keep_alives(tmp_path: Path) -> None:
    """Nobody reads those bytes, so the socket stays readable: a worker that polled it would spin."""
    with Server("gunicorn-gthread", tmp_path, environment={"SSE_KEEP_ALIVE_SECONDS": "0.2"}) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n and more")
            until(lambda: listeners(server) == 1, "the stream is open")
            ask(server.port, "/hello?data=one")
            received = b""
            while b"data: one" not in received:
                received += connection.recv(4096)
        until(lambda: listeners(server) == 0, "the stream has ended")


@pytest.mark.parametrize("kind", ["gunicorn-sync", "flask-without-threads"])
def test_streams_take_turns_if_one_request_is_served_at_a_time(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path, environment={"SSE_MAX_STREAM_SECONDS": "0.3"}) as server:
        for _ in range(2):
            with Source(server.port) as source:
                blocks = source.rest()
                assert blocks[0]["comment"] == "tidecast"
        # The worker is free, and the warning was logged once.
        assert ask(server.port, "/hello") == (200, "0")
        assert server.log().count("serves one request at a time") == 1


@pytest.mark.parametrize("kind", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_sigterm_ends_streams_in_time_even_in_preloaded_workers(kind: str, tmp_path: Path) -> None:
    options, environment = ("--graceful-timeout", "60", "--preload"), {"PUBLISH_AT_IMPORT": "1"}
    with Server(kind, tmp_path, *options, environment=environment) as server, Source(server.port) as source:
        source.block()
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        last = source.rest()[-1]
        # Every stream gets its own reconnection time.
        assert 1000 <= int(last["retry"]) <= 5000
        # gunicorn's own handler ran too. Ten times the two seconds that it takes.
        assert server.wait(20) == 0
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
def test_a_stream_resumes_after_its_worker_was_killed(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path) as server:
        with Source(server.port) as source:
            ask(server.port, "/hello?data=one")
            last = source.event()["id"]
            worker = server.worker()
            os.kill(worker, signal.SIGKILL)
            assert not source.rest()
        until(lambda: server.worker() != worker, "there is another worker")
        # The events in memory are gone with the worker, and a reset reports it.
        with Source(server.port, Last_Event_ID=last) as source:
            assert '"reason":"restarted"' in source.event()["data"]
            ask(server.port, "/hello?data=two")
            assert source.event()["data"] == "two"


def test_two_hundred_streams_on_one_gevent_worker(tmp_path: Path) -> None:
    with Server("gunicorn-gevent", tmp_path) as server, ExitStack() as open_streams:
        sources = [open_streams.enter_context(Source(server.port)) for _ in range(200)]
        # Other requests are handled meanwhile.
        assert ask(server.port, "/hello?data=one") == (200, "200")
        assert [source.event()["data"] for source in sources] == ["one"] * 200
        assert ask(server.port, "/hello?data=two") == (200, "200")
        assert [source.event()["data"] for source in sources] == ["two"] * 200


def test_preloaded_workers_create_their_own_engines(tmp_path: Path) -> None:
    """A worker with its parent's engine would have the events and none of the threads."""
    server = Server("gunicorn-gthread", tmp_path, "--preload", environment={"PUBLISH_AT_IMPORT": "1"})
    with server, Source(server.port, "/stream?channel=preload&last=10") as source:
        ask(server.port, "/hello?channel=preload&data=own")
        assert source.event()["data"] == "own"


def test_several_processes_without_a_redis_are_logged_once(tmp_path: Path) -> None:
    with Server("gunicorn-gthread", tmp_path, "--workers", "2", "--preload") as server:
        for _ in range(4):
            ask(server.port, "/hello")
        # Once in each worker that handled a request.
        assert 1 <= server.log().count("this server runs several processes") <= 2
