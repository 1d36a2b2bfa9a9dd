"""uWSGI with each kind of worker."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from support.server import Server
from support.source import Source, ask

#: Kinds that handle other requests while a stream is open.
MANY_AT_ONCE = ["uwsgi-threads", "uwsgi-gevent"]


@pytest.mark.parametrize("kind", MANY_AT_ONCE)
def test_events_arrive_and_resume(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path) as server:
        with Source(server.port) as source:
            assert source.response.headers["X-Accel-Buffering"] == "no"
            assert source.block()["comment"] == "tidecast"
            assert ask(server.port, "/hello?data=one&type=greeting") == (200, "1")
            event = source.event()
            assert (event["event"], event["data"]) == ("greeting", "one")
        ask(server.port, "/hello?data=two")
        with Source(server.port, Last_Event_ID=event["id"]) as source:
            assert source.event()["data"] == "two"
        # No warning, because it handles many requests.
        assert "serves one request at a time" not in server.log()


def test_a_single_worker_is_free_once_its_client_disconnects(tmp_path: Path) -> None:
    environment = {"SSE_KEEP_ALIVE_SECONDS": "60", "SSE_MAX_STREAM_SECONDS": "0"}
    with Server("uwsgi", tmp_path, environment=environment) as server:
        with Source(server.port) as source:
            source.block()
        assert ask(server.port, "/receivers") == (200, "0")


def test_streams_take_turns_if_one_request_is_served_at_a_time(tmp_path: Path) -> None:
    with Server("uwsgi", tmp_path, environment={"SSE_MAX_STREAM_SECONDS": "0.3"}) as server:
        with Source(server.port) as source:
            assert source.rest()[0]["comment"] == "tidecast"
        assert ask(server.port, "/hello") == (200, "0")
        assert server.log().count("serves one request at a time") == 1


def test_two_hundred_streams_on_one_gevent_worker(tmp_path: Path) -> None:
    with Server("uwsgi-gevent", tmp_path) as server, ExitStack() as open_streams:
        sources = [open_streams.enter_context(Source(server.port)) for _ in range(200)]
        assert ask(server.port, "/hello?data=one") == (200, "200")
        assert [source.event()["data"] for source in sources] == ["one"] * 200
