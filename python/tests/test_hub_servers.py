"""Real servers with a hub, which serves the streams."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.events import event
from support.hub import KEY, Hub
from support.server import Server
from support.source import Source, ask
from support.waiting import until

from tidecast.hub.client import Client

SERVERS = ["flask", "gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "waitress"]


def redirected(server: Server, path: str) -> Source:
    with Source(server.port, path) as there:
        assert there.status == 302
        location = urlsplit(there.response.headers["Location"])
    assert location.port is not None
    return Source(location.port, f"{location.path}?{location.query}")


@pytest.mark.parametrize("kind", SERVERS)
def test_the_hub_serves_the_streams(kind: str, hub: Hub, tmp_path: Path) -> None:
    with Server(kind, tmp_path, environment=hub.settings) as server, ExitStack() as open_streams:
        sources = [open_streams.enter_context(redirected(server, "/stream?channel=c")) for _ in range(20)]
        for data in ("one", "two"):
            assert ask(server.port, f"/hello?channel=c&data={data}") == (200, "20")
            assert [source.event()["data"] for source in sources] == [data] * 20
        # The streams outlive the application.
        server.signal(signal.SIGTERM)
        server.wait(20)
        Client(hub.url, KEY).publish("c", event("three"))
        assert [source.event()["data"] for source in sources] == ["three"] * 20


def test_preloaded_workers_open_their_own_connections(hub: Hub, tmp_path: Path) -> None:
    environment = {**hub.settings, "PUBLISH_AT_IMPORT": "1"}
    with (
        Server("gunicorn-gevent", tmp_path, "--preload", environment=environment) as server,
        redirected(server, "/stream?channel=preload&last=1") as source,
    ):
        assert source.event()["data"] == "from the parent"
        for number in range(10):
            assert ask(server.port, f"/hello?channel=preload&data={number}") == (200, "1")
        assert [source.event()["data"] for _ in range(10)] == [f"{number}" for number in range(10)]


def test_a_gevent_worker_serves_others_while_its_hub_is_silent(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {"SSE_HUB_URL": url, "SSE_HUB_KEY": KEY}
        with Server("gunicorn-gevent", tmp_path, environment=environment) as server:
            ended: list[int] = []
            publishing = [
                threading.Thread(target=lambda: ended.append(ask(server.port, "/hello?data=x")[0])) for _ in range(20)
            ]
            for thread in publishing:
                thread.start()
            accepted = [silent.accept()[0] for _ in publishing]
            # All of them wait for the hub, and the only worker handles other requests.
            assert ask(server.port, "/threads")[0] == 200
            assert redirects(server) and not ended
            for connection in accepted:
                connection.close()
            for thread in publishing:
                thread.join()
            assert ended == [500] * 20 and "InDoubtError" in server.log()


@pytest.mark.parametrize("kind", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_overridden_messages_are_streamed_by_the_worker(kind: str, hub: Hub, tmp_path: Path) -> None:
    client = Client(hub.url, KEY)
    with (
        Server(kind, tmp_path, "--graceful-timeout", "60", environment=hub.settings) as server,
        Source(server.port, "/shouting?channel=loud") as source,
    ):
        until(lambda: client.publish("loud", event("early")).receivers == 1, "the stream is open")
        assert source.event()["data"] == "EARLY"
        # A disconnect ends the messages, if the server exposes it.
        if kind != "gunicorn-sync":
            with Source(server.port, "/shouting?channel=other"):
                until(lambda: client.publish("other", event("x")).receivers == 1, "the stream is open")
            until(lambda: client.publish("other", event("x")).receivers == 0, "the stream is closed")
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        source.rest()
        assert server.wait(20) == 0
        # Ten times the two seconds that it takes.
        assert time.monotonic() - began < 20


def redirects(server: Server) -> bool:
    with Source(server.port) as source:
        return source.status == 302
