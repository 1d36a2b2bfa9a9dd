"""The native module by itself."""

from __future__ import annotations

import gc
import json
import os
import threading
import weakref

import pytest

from tidecast import InvalidError, TidecastError, TooLargeError
from tidecast._native import Engine, EngineStream, Published
from tidecast.poll import wait


def text(stream: EngineStream) -> str:
    """Returns all text that is ready."""
    parts = []
    while data := stream.drain():
        parts.append(data)
    return b"".join(parts).decode()


def publish(engine: Engine, data: str, **rest: str) -> Published:
    published = engine.publish("sse", data, **rest)  # type: ignore[arg-type]
    assert isinstance(published, Published)
    return published


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_a_stream_is_readable_when_an_event_is_ready(engine: Engine) -> None:
    stream = engine.subscribe(["sse"])
    assert text(stream).startswith(": tidecast\nretry: 3000\n")
    assert not wait(stream.fileno(), 0)
    published = publish(engine, "one\r\ntwo")
    assert published.receivers == 1
    assert wait(stream.fileno(), 0)
    assert text(stream) == f"data: one\ndata: two\nid: {published.position}\n\n"
    assert not wait(stream.fileno(), 0)


def test_a_publish_of_another_thread_wakes_a_stream(engine: Engine) -> None:
    stream = engine.subscribe(["sse"])
    text(stream)
    thread = threading.Timer(0.05, publish, (engine, "late"))
    thread.start()
    assert wait(stream.fileno(), 20)
    assert "data: late\n" in text(stream)
    thread.join()


def test_a_long_backlog_is_drained_in_pieces(engine: Engine) -> None:
    stream = engine.subscribe(["sse"])
    text(stream)
    for _ in range(8):
        publish(engine, "x" * 30_000)
    pieces = []
    while data := stream.drain():
        pieces.append(len(data))
    assert len(pieces) > 1 and max(pieces) < 65_536 + 31_000
    assert sum(pieces) > 240_000


def test_events_are_read_as_they_were_published(engine: Engine) -> None:
    stream = engine.subscribe(["sse", "other"])
    publish(engine, "17", json=True)  # type: ignore[arg-type]
    publish(engine, "17", event_type="number", id="own", retry_ms=5)  # type: ignore[arg-type]
    # Python's `NaN` is not JSON, so it is sent as text.
    publish(engine, "[NaN]", json=True)  # type: ignore[arg-type]
    assert stream.events() == [
        ("sse", None, "17", True, None, None),
        ("sse", "number", "17", False, "own", 5),
        ("sse", None, "[NaN]", False, None, None),
    ]
    assert stream.events() == []


def test_closing_ends_streams_after_what_was_published(engine: Engine) -> None:
    stream, events = engine.subscribe(["sse"]), engine.subscribe(["sse"])
    publish(engine, "last")
    engine.close()
    drained = text(stream)
    assert "data: last\nid: " in drained and "\n\nretry: " in drained
    assert stream.drain() is None and stream.drain() is None
    assert [data for _, _, data, _, _, _ in events.events() or []] == ["last"]
    assert events.events() is None
    # The next use reopens it.
    assert publish(engine, "again").receivers == 0


def test_a_closed_stream_leaves_its_channels(engine: Engine) -> None:
    stream = engine.subscribe(["sse"])
    assert engine.receivers("sse") == 1
    stream.close()
    assert engine.receivers("sse") == 0
    assert stream.drain() is None
    forgotten = engine.subscribe(["sse"])
    del forgotten
    assert engine.receivers("sse") == 0


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ({"event_type": "a\ndata: forged"}, "event type has a control character"),
        ({"event_type": "a\rb"}, "event type has a control character"),
        ({"event_type": "stream-reset"}, "reserved"),
        ({"id": "a\nb"}, "event id has a control character"),
        ({"id": "a\0b"}, "event id has a control character"),
        ({"retry_ms": 86_400_001}, "retry is"),
        ({"channel": "a\nb"}, "channel name has a control character"),
        ({"channel": ""}, "channel name is empty"),
    ],
)
def test_invalid_arguments_are_refused(engine: Engine, refused: dict[str, object], words: str) -> None:
    arguments = {"channel": "sse", "data": "x", **refused}
    with pytest.raises(ValueError, match=words) as raised:
        engine.publish(**arguments)  # type: ignore[arg-type]
    assert isinstance(raised.value, InvalidError) and isinstance(raised.value, TidecastError)


def test_too_large_events_are_refused(engine: Engine) -> None:
    with pytest.raises(TooLargeError, match="1048577 bytes"):
        publish(engine, "x" * 1_048_577)
    with pytest.raises(ValueError, match="64 channels"):
        engine.subscribe([f"{number}" for number in range(65)])


def test_an_idempotency_key_publishes_once(engine: Engine) -> None:
    first = publish(engine, "one", idempotency_key="key")
    again = publish(engine, "two", idempotency_key="key")
    assert (again.position, again.repeated, again.differs) == (first.position, True, True)
    assert not publish(engine, "one", idempotency_key="key").differs


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:port", ""])
def test_a_malformed_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(InvalidError) as raised:
        Engine(url.replace("://", "://:hunter2@"))
    assert "hunter2" not in str(raised.value)


def test_a_reset_is_read_as_an_event(engine: Engine) -> None:
    stream = engine.subscribe(["sse"], after=b"0123456789ab.7")
    channel, event_type, data, is_json, _, _ = (stream.events() or [])[0]
    assert (channel, event_type, is_json) == ("sse", "stream-reset", True)
    assert json.loads(data)["reason"] == "restarted"


def test_an_engine_without_references_is_closed(engine: Engine) -> None:
    """The sweeping thread must not keep it alive."""

    class Owner:
        def __init__(self) -> None:
            self.engine = Engine()

    owner = Owner()
    stream = owner.engine.subscribe(["sse"])
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    text(stream)
    assert stream.drain() is None


def test_a_child_does_not_touch_its_parents_streams(engine: Engine) -> None:
    """Both share a descriptor: a child that drained the stream would clear its parent's wake-up."""
    stream = engine.subscribe(["sse"])
    text(stream)
    publish(engine, "for the parent")
    child = os.fork()
    if child == 0:
        own = engine.subscribe(["sse"], last=10)
        publish(engine, "for the child")
        seen = text(own)
        right = stream.drain() is None and "for the child" in seen and "for the parent" not in seen
        stream.close()
        engine.close()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert wait(stream.fileno(), 0)
    drained = text(stream)
    assert "for the parent" in drained and "for the child" not in drained
    assert publish(engine, "on").receivers == 1


def test_threads_that_publish_and_read_at_once_lose_nothing(engine: Engine) -> None:
    streams = [engine.subscribe(["sse"]) for _ in range(4)]
    received: list[list[str]] = [[] for _ in streams]

    def read(stream: EngineStream, into: list[str]) -> None:
        while (events := stream.events()) is not None:
            into.extend(data for _, _, data, _, _, _ in events)
            events or wait(stream.fileno())

    def write(name: str) -> None:
        for number in range(500):
            publish(engine, f"{name} {number}")

    readers = [threading.Thread(target=read, args=pair) for pair in zip(streams, received, strict=True)]
    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    engine.close()
    for thread in readers:
        thread.join()
    # The same order for all readers, and each writer's events in order.
    assert all(events == received[0] for events in received)
    for name in "abcd":
        assert [data for data in received[0] if data.startswith(name)] == [f"{name} {number}" for number in range(500)]
