"""How streams end, server by server: every cell of the table in `docs/servers.md`, with the real server."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.server import APPS, Server
from support.source import Source, ask
from support.waiting import until

#: The servers by the first cells of their rows.
KINDS = {
    "`flask run`": "flask",
    "`gunicorn` (sync)": "gunicorn-sync",
    "`gunicorn -k gthread`": "gunicorn-gthread",
    "`gunicorn -k gevent`": "gunicorn-gevent",
    "`gunicorn -k eventlet`": "gunicorn-eventlet",
    "`waitress`": "waitress",
    "`waitress --channel-request-lookahead=1`": "waitress-lookahead",
    "`uwsgi --threads`": "uwsgi-threads",
    "`uwsgi --gevent`": "uwsgi-gevent",
    "`granian --interface wsgi`": "granian",
    "`hypercorn`": "hypercorn",
    "`uvicorn`, `asgiref.wsgi.WsgiToAsgi`": "asgiref",
    "`uvicorn`, `a2wsgi.WSGIMiddleware`": "a2wsgi",
}

#: The cell of an event that the server does not have.
NONE = "\N{EN DASH}"

#: Servers that handle no other request while a stream is open.
ONE_AT_A_TIME = ("gunicorn-sync", "asgiref")

#: The options with which a server replaces a worker after a number of requests.
RECYCLED = {
    "gunicorn": ("--max-requests", "{}"),
    "uwsgi": ("--max-requests", "{}", "--min-worker-lifetime", "0", "--worker-reload-mercy", "1"),
    "hypercorn": ("--max-requests", "{}"),
    "asgiref": ("--limit-max-requests", "{}"),
    "a2wsgi": ("--limit-max-requests", "{}"),
}


def table() -> dict[str, dict[str, str]]:
    """Returns the cells by server and way of ending."""
    lines = (Path(__file__).parents[2] / "docs" / "servers.md").read_text().splitlines()
    # The first table of the page.
    first = next(index for index, line in enumerate(lines) if line.startswith("|"))
    lines = list(itertools.takewhile(lambda line: line.startswith("|"), lines[first:]))
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {KINDS[row[0]]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


TABLE = table()


def cells(*ways: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns the parameters of a test for each cell of these columns."""
    found = [(kind, way, row[way]) for kind, row in TABLE.items() for way in ways if row[way] != NONE]
    return pytest.mark.parametrize(("kind", "way", "outcome"), found)


def listeners(server: Server) -> int:
    return int(ask(server.port, "/receivers")[1])


@contextlib.contextmanager
def stalled(server: Server, path: str = "/stream?last=20") -> Iterator[socket.socket]:
    """Opens a connection to a stream and reads nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        # The stream is open.
        client.settimeout(20)
        assert client.recv(1)
        yield client


def test_every_server_has_a_row() -> None:
    assert list(TABLE) == list(KINDS.values())


@cells("page closes")
def test_a_closed_page_is_noticed(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    """Adapters to ASGI never noticed it: asgiref's handled no further request after the first page."""
    never = "60" if outcome == "at once" else "0.2"
    life = "1" if outcome == "its life" else "60"
    environment = {"SSE_KEEP_ALIVE_SECONDS": never, "SSE_MAX_STREAM_SECONDS": life}
    with Server(kind, tmp_path, environment=environment) as server:
        with Source(server.port) as source:
            source.block()
        # Within 20 s, less than anything else that would end it.
        until(lambda: listeners(server) == 0, "the stream has ended")
        if outcome == "its life":
            assert server.log().count("does not tell when a page is closed") == 1


@cells("client reads nothing")
def test_a_client_that_reads_nothing_is_disconnected(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    """It occupied its thread for ever."""
    environment = {"SSE_STALL_SECONDS": "0.5", "SSE_KEEP_ALIVE_SECONDS": "0.2", "SSE_MAX_STREAM_SECONDS": "60"}
    options = ("--socket-timeout", "1") if outcome == "server" else ()
    with Server(kind, tmp_path, *options, environment=environment) as server:
        ask(server.port, "/flood")
        with stalled(server):
            if outcome != "never":
                # While the client is connected.
                until(lambda: listeners(server) == 0, "the client is disconnected")
                assert "Traceback" not in server.log() or outcome == "server"
            elif kind not in ONE_AT_A_TIME:
                assert listeners(server) == 1


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
def test_a_client_that_reads_nothing_does_not_delay_the_stop(kind: str, tmp_path: Path) -> None:
    """It delayed the stop at SIGTERM by the whole graceful time-out."""
    environment = {"SSE_STALL_SECONDS": "0"}
    with Server(kind, tmp_path, "--graceful-timeout", "120", environment=environment) as server:
        ask(server.port, "/flood")
        with stalled(server):
            server.signal(signal.SIGTERM)
            assert server.wait(20) == 0


def test_a_slow_client_is_not_disconnected(tmp_path: Path) -> None:
    """Only a client that reads nothing is. This one needs longer than the time-out for a piece."""
    with Server("gunicorn-gthread", tmp_path, environment={"SSE_STALL_SECONDS": "2"}) as server:
        ask(server.port, "/flood")
        with stalled(server) as client:
            taken = 0
            # More than the buffers on the way hold.
            while taken < 6 * 1024 * 1024:
                received = client.recv(64 * 1024)
                assert received
                taken += len(received)
            assert listeners(server) == 1


@cells("SIGTERM", "Ctrl+C")
def test_a_stopped_server_ends_streams(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    """Ctrl+C under gthread took as long as the page was open, as did the stop of every server whose worker receives no
    SIGTERM. Under eventlet it cut every second page, because the worker exits before the next look at its state."""
    life = "1" if TABLE[kind]["life of a stream"] == "bounded" and outcome == "late" else "60"
    environment = {"SSE_KEEP_ALIVE_SECONDS": "60", "SSE_MAX_STREAM_SECONDS": life}
    options = ("--graceful-timeout", "120") if kind.startswith("gunicorn") else ()
    with Server(kind, tmp_path, *options, environment=environment) as server, Source(server.port) as source:
        source.block()
        server.signal(signal.SIGTERM if way == "SIGTERM" else signal.SIGINT)
        ended(source, outcome, kind, way)
        server.wait(20)


@cells("recycled")
def test_a_recycled_worker_ends_streams(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    """The worker waited for its open pages, and handled no request meanwhile."""
    options = next(options for name, options in RECYCLED.items() if kind.startswith(name))
    requests = "1" if kind in ONE_AT_A_TIME else "3"
    environment = {"SSE_KEEP_ALIVE_SECONDS": "60", "SSE_MAX_STREAM_SECONDS": "60" if outcome == "ends" else "2"}
    with Server(kind, tmp_path, *(option.format(requests) for option in options), environment=environment) as server:
        with Source(server.port) as source:
            source.block()
            if kind == "a2wsgi":
                # On one connection: uvicorn does not count a request if the client closes the connection first.
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as kept:
                    for _ in range(3):
                        kept.request("GET", "/receivers")
                        kept.getresponse().read()
                    until(lambda: "limit of 3 exceeded" in server.log(), "uvicorn has counted the requests")
            elif kind not in ONE_AT_A_TIME:
                for _ in range(3):
                    handles_requests(server)
            ended(source, outcome, kind, way)
        if kind in ("asgiref", "a2wsgi"):
            # uvicorn leaves the restart to a process manager.
            server.wait(20)
        else:
            until(lambda: handles_requests(server), "another worker handles requests")


@cells("reloaded")
def test_a_reloaded_server_ends_streams(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    reloads(kind, outcome, tmp_path, by_file=kind in ("flask", "asgiref", "a2wsgi"))


def test_gunicorn_reloads_a_changed_file(tmp_path: Path) -> None:
    """With an open page it took the whole graceful time-out, and handled no request meanwhile."""
    reloads("gunicorn-gthread", "ends", tmp_path, by_file=True)


@cells("life of a stream")
def test_a_stream_has_a_bounded_life(kind: str, way: str, outcome: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path, environment={"SSE_MAX_STREAM_SECONDS": "0.3"}) as server:
        with Source(server.port) as source:
            source.block()
            if outcome != "no end":
                source.rest()
            else:
                # Longer than the bounded life.
                with pytest.raises(AssertionError):
                    until(lambda: listeners(server) == 0, "it ends", seconds=1)
                ask(server.port, "/hello?data=one")
                assert source.event()["data"] == "one"
        if outcome == "bounded at first":
            with Source(server.port) as source:
                source.block()
            until(lambda: listeners(server) == 0, "the first stream has ended")


def reloads(kind: str, outcome: str, folder: Path, *, by_file: bool) -> None:
    """Reloads a server while a page is open, by SIGHUP or by a changed file."""
    apps = folder / "apps"
    shutil.copytree(APPS, apps)
    options: tuple[str, ...] = ("--reload",) if by_file else ()
    if kind.startswith("gunicorn"):
        options = (*options, "--graceful-timeout", "120")
    if kind == "gunicorn-gthread" and by_file:
        # This engine needs no further package.
        options = (*options, "--reload-engine", "poll")
    if kind.startswith("uwsgi"):
        # It restarts its own program, which here is Python.
        options = ("--binary-path", sys.executable)
    life = "1" if TABLE[kind]["life of a stream"] == "bounded" and outcome == "late" else "60"
    environment = {"SSE_KEEP_ALIVE_SECONDS": "60", "SSE_MAX_STREAM_SECONDS": life}
    with Server(kind, folder, *options, environment=environment, apps=apps) as server:
        with Source(server.port) as source:
            source.block()
            with changing(apps / "hello.py") if by_file else contextlib.nullcontext():
                if not by_file:
                    server.signal(signal.SIGHUP)
                ended(source, outcome, kind, "reloaded")
        until(lambda: handles_requests(server), "the server handles requests again")


@contextlib.contextmanager
def changing(program: Path) -> Iterator[None]:
    """Changes a program repeatedly, for up to a minute.

    A single change is not enough: a server that has not looked at its files yet would take it for the original.
    """
    stopped = threading.Event()

    def change() -> None:
        for _ in range(120):
            with program.open("a") as file:
                file.write("\n# Changed.\n")
            if stopped.wait(0.5):
                return

    changes = threading.Thread(target=change)
    changes.start()
    try:
        yield
    finally:
        stopped.set()
        changes.join()


def ended(source: Source, outcome: str, kind: str, way: str) -> None:
    """Reads a stream to its end, and checks the kind of end."""
    try:
        blocks = source.rest()
    except (OSError, http.client.HTTPException):
        # An incomplete response, or a connection reset.
        blocks = []
    last_blocks = [block for block in blocks if "retry" in block]
    assert bool(last_blocks) == (outcome == "ends"), (kind, way, blocks)


def handles_requests(server: Server) -> bool:
    try:
        return ask(server.port, "/receivers", seconds=5)[0] == 200
    except (OSError, http.client.HTTPException):
        return False
