"""A publisher in real servers."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.server import Server
from support.source import Source, ask
from support.waiting import until

#: Servers that handle other requests while a stream is open.
KINDS = ["flask", "gunicorn-gthread", "gunicorn-gevent", "waitress-lookahead"]


def subscribers(server: Server) -> list[str]:
    return ask(server.port, "/subscribers")[1].split()


@pytest.mark.parametrize("kind", KINDS)
def test_pages_receive_the_events_made_for_them(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path, app="rooms:app") as server, ExitStack() as pages:
        # The head arrives at once, before any event.
        ada = pages.enter_context(Source(server.port, "/subscribe?name=ada"))
        assert ada.response.headers["Content-Type"] == "text/event-stream"
        bob = pages.enter_context(Source(server.port, "/subscribe?name=bob&initial=welcome&initial=again"))
        assert subscribers(server) == ["ada", "bob"]
        assert [bob.event()["data"] for _ in range(2)] == ["welcome", "again"]
        ask(server.port, "/publish?data=secret&to=bob")
        assert bob.event()["data"] == "secret"
        ask(server.port, "/publish?data=open%0Atwo")
        assert ada.event()["data"] == bob.event()["data"] == "open\ntwo"


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_page_unsubscribes_at_once(kind: str, tmp_path: Path) -> None:
    """In the original it never did: every closed page kept a thread, and a queue that filled for ever."""
    with Server(kind, tmp_path, app="rooms:app", environment={"SSE_KEEP_ALIVE_SECONDS": "60"}) as server:
        with Source(server.port, "/subscribe?name=ada"):
            until(lambda: subscribers(server) == ["ada"], "the stream is open")
        until(lambda: subscribers(server) == [], "the stream has ended")


def test_waitress_notices_a_closed_page_after_two_keep_alives(tmp_path: Path) -> None:
    with Server("waitress", tmp_path, app="rooms:app", environment={"SSE_KEEP_ALIVE_SECONDS": "0.2"}) as server:
        with Source(server.port, "/subscribe?name=ada"):
            until(lambda: subscribers(server) == ["ada"], "the stream is open")
        until(lambda: subscribers(server) == [], "the stream has ended")


def test_one_gevent_worker_serves_many_pages_while_a_publish_waits(tmp_path: Path) -> None:
    """A publish that waits for a page's room blocks one greenlet only."""
    with Server("gunicorn-gevent", tmp_path, app="rooms:app") as server, ExitStack() as pages:
        sources = [pages.enter_context(Source(server.port, f"/subscribe?name={number}")) for number in range(100)]
        ask(server.port, "/publish?data=one")
        assert [source.event()["data"] for source in sources] == ["one"] * 100
        ask(server.port, "/publish?data=two&to=7")
        assert sources[7].event()["data"] == "two"
        slow = pages.enter_context(Source(server.port, "/subscribe?channel=slow&when_full=wait"))
        for number in range(20):
            ask(server.port, f"/publish?channel=slow&data={number}")
        assert [slow.event()["data"] for _ in range(20)] == [f"{number}" for number in range(20)]


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_sigterm_ends_streams_in_time(kind: str, preload: bool, tmp_path: Path) -> None:
    options = ["--graceful-timeout", "60", *(["--preload"] if preload else [])]
    environment = {"PUBLISH_AT_IMPORT": "1"} if preload else {}
    server = Server(kind, tmp_path, *options, app="rooms:app", environment=environment)
    with server, Source(server.port, "/subscribe?name=ada") as source:
        # The arbiter's own subscriber does not count here.
        until(lambda: subscribers(server) == ["ada"], "the stream is open")
        ask(server.port, "/publish?data=one")
        assert source.event()["data"] == "one"
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        assert not any("data" in block for block in source.rest())
        # Ten times the two seconds that it takes.
        assert server.wait(20) == 0
        assert time.monotonic() - began < 20
