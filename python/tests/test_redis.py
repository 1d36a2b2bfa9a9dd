"""A real Redis, shared by programs on this package and by others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from support.events import event
from support.redis_server import RedisServer
from support.server import Server
from support.source import Source, ask
from support.waiting import until

import tidecast
from tidecast._native import Engine
from tidecast.backends.engine import EngineBackend
from tidecast.flask_sse import Message, ServerSentEventsBlueprint, send_event


@pytest.fixture
def on_redis(app: Flask, redis_server: RedisServer) -> Flask:
    app.config["SSE_REDIS_URL"] = redis_server.url
    return app


def subscribed(server: RedisServer, channel: str) -> object:
    """Subscribes with redis-py, and waits until the subscription is active."""
    pubsub = server.client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(channel)
    until(lambda: server.client.pubsub_numsub(channel)[0][1] == 1, "Redis has the subscription")
    pubsub.get_message(timeout=1)
    return pubsub


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent", "waitress", "flask"])
def test_servers_scripts_and_flask_sse_share_channels(kind: str, redis_server: RedisServer, tmp_path: Path) -> None:
    with Server(kind, tmp_path, environment={"REDIS_URL": redis_server.url}) as server, Source(server.port) as source:
        source.block()
        until(lambda: redis_server.client.pubsub_numsub("sse")[0][1] == 1, "the stream is live")
        # A view, a script without an application, and the payload of a Flask-SSE.
        assert ask(server.port, "/hello?data=view") == (200, "1")
        script = "import tidecast; print(tidecast.publish({'from': 'script'}).receivers)"
        environment = {**os.environ, "SSE_REDIS_URL": redis_server.url}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60)
        assert done.stdout == b"0\n", done.stderr
        redis_server.client.publish("sse", json.dumps(Message("old", type="t").to_dict()))
        view, from_script, old = (source.event() for _ in range(3))
        assert (view["data"], from_script["data"]) == ("view", '{"from": "script"}')
        assert (old["data"], old["event"], "id" in old) == ("old", "t", False)
        # Two connections, however many publish and subscribe.
        with Source(server.port, "/stream?channel=other"):
            assert len(redis_server.connections()) == 2


def test_flask_sse_itself_publishes_and_receives(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {"REDIS_URL": redis_server.url}
    old_folder, new_folder = tmp_path / "old", tmp_path / "new"
    old_folder.mkdir()
    new_folder.mkdir()
    with (
        Server("gunicorn-gevent", old_folder, app="upstream:app", environment=environment) as old,
        Server("gunicorn-gevent", new_folder, environment=environment) as new,
        Source(new.port) as on_new,
        ThreadPoolExecutor() as threads,
    ):
        # Flask-SSE sends the response's head with the first event, so a thread waits for it.
        connecting = threads.submit(Source, old.port)
        until(lambda: redis_server.client.pubsub_numsub("sse")[0][1] == 2, "both have subscribed")
        ask(new.port, "/hello?data=new")
        ask(old.port, "/hello?data=old")
        with connecting.result() as on_old:
            from_old = [on_old.event() for _ in range(2)]
        from_new = [on_new.event() for _ in range(2)]
    says = ["new", '{"says": "old"}']
    assert [event["data"] for event in from_old] == says == [event["data"] for event in from_new]
    assert [event.get("event") for event in from_old] == [None, "greeting"]


def test_two_workers_see_each_others_events(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {"REDIS_URL": redis_server.url}
    with (
        Server("gunicorn-sync", tmp_path, "--workers", "2", "--preload", environment=environment) as server,
        Source(server.port) as source,
    ):
        source.block()
        until(lambda: redis_server.client.pubsub_numsub("sse")[0][1] == 1, "the stream is live")
        # The stream occupies one worker, so the other one handles this, and no warning about memory is logged.
        assert ask(server.port, "/hello?data=one") == (200, "0")
        assert source.event()["data"] == "one"
        assert "several processes" not in server.log()


def test_a_stream_outlives_its_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    """An outage of Redis ended every stream of Flask-SSE, and no stream could be opened until its end."""
    environment = {"REDIS_URL": redis_server.url}
    with Server("gunicorn-gthread", tmp_path, environment=environment) as server, Source(server.port) as source:
        source.block()
        ask(server.port, "/hello?data=one")
        assert source.event()["data"] == "one"
        redis_server.stop()
        status, _ = ask(server.port, "/hello?data=lost")
        # A publish that was on its way is in doubt.
        assert status == 500 and re.search("UnavailableError|InDoubtError", server.log())
        with Source(server.port) as late:
            assert late.response.readline() == b": tidecast\n"
            redis_server.start()
            # An id means that the stream is live.
            assert "id" in late.block()
            until(lambda: ask(server.port, "/hello?data=two")[0] == 200, "publishing works again")
            # Redis has lost its events: a reset reports it, and the stream stays open.
            assert source.event()["event"] == "stream-reset"
            assert source.event()["data"] == "two"
            while (event := late.event()).get("event") == "stream-reset":
                pass
            assert event["data"] == "two"


def test_a_resumed_stream_is_served_by_another_worker(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {"REDIS_URL": redis_server.url}
    with Server("gunicorn-gthread", tmp_path, environment=environment) as server:
        with Source(server.port) as source:
            ask(server.port, "/hello?data=one")
            last = source.event()["id"]
            worker = server.worker()
            os.kill(worker, 9)
            source.rest()
        until(lambda: server.worker() != worker, "there is another worker")
        ask(server.port, "/hello?data=two")
        with Source(server.port, Last_Event_ID=last) as source:
            two = source.event()
            assert ("event" in two, two["data"]) == (False, "two")


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
def test_killed_workers_lose_and_repeat_nothing(kind: str, redis_server: RedisServer, tmp_path: Path) -> None:
    """A new worker resumes after the last event that arrived whole, whatever its predecessor had buffered."""
    backend = EngineBackend(Engine(redis_server.url))
    enough = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not enough.wait(0.001):
            backend.publish("sse", event(published))
            published += 1

    received: list[int] = []
    environment = {"REDIS_URL": redis_server.url}
    with Server(kind, tmp_path, environment=environment) as server, ThreadPoolExecutor() as threads:
        publishing = None
        last = ""
        for kills in range(4):
            worker = server.worker()
            with Source(server.port, Last_Event_ID=last) as source:
                # Publishing starts once the first stream is live.
                source.block()
                until(lambda: redis_server.client.pubsub_numsub("sse")[0][1] == 1, "the stream is live")
                publishing = publishing or threads.submit(publish)
                until_count = len(received) + 100
                while block := source.block():
                    if "data" in block:
                        received.append(int(block["data"]))
                        last = block["id"]
                    if kills < 3 and len(received) == until_count:
                        os.kill(worker, 9)
                    if kills == 3 and len(received) >= until_count:
                        enough.set()
                        publishing.result(60)
                        if len(received) == published:
                            break
            if kills < 3:
                until(lambda before=worker: server.worker() != before, "there is another worker")  # type: ignore[misc]
    backend.engine.close()
    assert received == list(range(published))


def test_flask_sse_reads_what_is_published(
    on_redis: Flask, blueprint: ServerSentEventsBlueprint, redis_server: RedisServer
) -> None:
    pubsub = subscribed(redis_server, "sse")
    with on_redis.app_context():
        blueprint.publish({"b": "é", "a": 2}, type="t", id=3, retry=4)
    payload = json.loads(pubsub.get_message(timeout=10)["data"])  # type: ignore[attr-defined]
    assert Message(**payload) == Message({"b": "é", "a": 2}, type="t", id="3", retry=4)


def test_the_legacy_extension_receives_arrays(app: Flask, redis_server: RedisServer) -> None:
    app.config.update(SSE_REDIS_HOST="127.0.0.1", SSE_REDIS_PORT=redis_server.port)
    pubsub = subscribed(redis_server, "test")
    with app.app_context():
        send_event("testevent", json.dumps({"a": 1}), channel="test")
        send_event("lines", ["one", "two"], channel="test")
    events = [json.loads(pubsub.get_message(timeout=10)["data"]) for _ in range(2)]  # type: ignore[attr-defined]
    assert events == [["testevent", '{"a": 1}'], ["lines", "one\ntwo"]]


def test_messages_are_read_and_undecodable_ones_skipped(
    on_redis: Flask, blueprint: ServerSentEventsBlueprint, redis_server: RedisServer
) -> None:
    with on_redis.app_context():
        messages = blueprint.messages("mixed")

        def later() -> None:
            until(lambda: redis_server.client.pubsub_numsub("mixed")[0][1] == 1, "Redis has the subscription")
            for payload in ("no json", '["older", "text"]', b"\xff", '{"data": {"a": 1}, "id": "own"}', "[1, 2, 3]"):
                redis_server.client.publish("mixed", payload)
            with on_redis.app_context():
                tidecast.publish("17", channel="mixed")
                tidecast.publish(17, channel="mixed", id="own")

        thread = threading.Thread(target=later)
        thread.start()
        received = [next(messages) for _ in range(4)]
        thread.join()
    # An event that another program published has no id here, not even its own, because no stream could resume from it.
    expected = [Message("text", type="older"), Message({"a": 1}), Message("17"), Message(17, id="own")]
    assert received == expected


def test_messages_resume_after_an_outage_of_redis(
    on_redis: Flask, blueprint: ServerSentEventsBlueprint, redis_server: RedisServer
) -> None:
    """They yielded a `stream-reset` with an object as data, which Flask-SSE never does."""
    received: list[Message] = []

    def listen() -> None:
        with on_redis.app_context():
            for message in blueprint.messages("away"):
                received.append(message)
                if message.data == "end":
                    break

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with on_redis.app_context():
        # Repeated, as the first may precede the subscription.
        until(lambda: blueprint.publish("one", channel="away") and received, "the first message")
        redis_server.stop()
        redis_server.start()
        until(lambda: redis_server.client.pubsub_numsub("away")[0][1] == 1, "the engine has subscribed again")
        until(lambda: published(blueprint, "end", "away"), "publishing works again")
    thread.join(20)
    assert {message.type for message in received} == {None}
    assert received[-1].data == "end"


def published(blueprint: ServerSentEventsBlueprint, data: str, channel: str) -> bool:
    try:
        blueprint.publish(data, channel=channel)
    except tidecast.UnavailableError:
        return False
    return True


def test_a_publish_during_an_outage_fails_in_time(redis_server: RedisServer) -> None:
    backend = EngineBackend(Engine(f"{redis_server.url}?socket_timeout=0.3"))
    redis_server.stop()
    with pytest.raises(tidecast.UnavailableError, match="redis"):
        backend.publish("sse", event("x"))
    backend.engine.close()


def test_a_child_opens_its_own_connections_to_redis(redis_server: RedisServer) -> None:
    engine = Engine(redis_server.url)
    backend = EngineBackend(engine)

    backend.publish("sse", event("parent"))
    before = len(redis_server.connections())
    child = os.fork()
    if child == 0:
        published = backend.publish("sse", event("child"))
        os._exit(0 if published.position.endswith(".2") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # The parent's connections still work.
    assert backend.publish("sse", event("parent")).position.endswith(".3")
    assert len(redis_server.connections()) >= before
    engine.close()
    until(lambda: not redis_server.connections(), "the connections are closed")
