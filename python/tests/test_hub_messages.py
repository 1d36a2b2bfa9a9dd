"""`messages()` through a hub, whose stream is read here."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from support.events import event
from support.hub import KEY, Hub
from support.source import Source
from support.waiting import until

from tidecast import InvalidError, RefusedError, backends
from tidecast.backends import EventReader
from tidecast.flask_sse import Message, ServerSentEventsBlueprint
from tidecast.hub import hub_stream
from tidecast.hub.client import Client
from tidecast.poll import wait
from tidecast.settings import Settings


def listeners(hub: Hub, channel: str = "sse") -> int:
    """Returns how many streams of the hub read a channel, by publishing a probe."""
    return Client(hub.url, KEY).publish(channel, event("", type="probe")).receivers


def read(stream: EventReader, until_data: str) -> list[tuple[object, ...]]:
    """Returns the events up to the one with this data."""
    received: list[tuple[object, ...]] = []
    while not received or received[-1][2] != until_data:
        events = stream.events()
        assert events is not None
        assert events or wait(stream.fileno(), 20), received
        received += [event for event in events if event[1] != "probe"]
    return received


class Background:
    """A thread that reads messages."""

    def __init__(self, app: Flask, messages: Generator[Message, None, None]) -> None:
        self._app = app
        self.received: list[Message] = []
        self.error: Exception | None = None
        self._messages = messages
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._app.app_context():
                for message in self._messages:
                    if message.type != "probe":
                        self.received.append(message)
                    if message.data == "end":
                        break
                self._messages.close()
        except Exception as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert self.error is None, self.error


def test_json_is_loaded_and_text_stays_text(on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub) -> None:
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages("c"))
        until(lambda: listeners(hub, "c") == 1, "the stream is open")
        sent = [
            Message({"a": [1]}, type="t"),
            Message(["é"], id="own"),
            Message("text", retry=7),
            Message("two\nlines", type="t", id="own too", retry=8),
            Message("17"),
            Message("{no json"),
            Message("end"),
        ]
        for message in sent:
            blueprint.publish(message.data, type=message.type, id=message.id, retry=message.retry, channel="c")
        background.join()
    assert background.received == sent
    # The stream was closed with the generator.
    until(lambda: listeners(hub, "c") == 0, "the stream is closed")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_messages_resume_after_a_restart_of_the_hub(
    on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub, how: str
) -> None:
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages())
        until(lambda: listeners(hub) == 1, "the stream is open")
        blueprint.publish("one")
        until(lambda: background.received, "the first message")
        for _ in range(2):
            getattr(hub, how)()
            hub.start()
            until(lambda: listeners(hub) == 1, "the stream has reconnected")
        blueprint.publish("end")
        background.join()
    # The hub's events are gone. A `stream-reset` with an object as data was yielded for them, on which a program for
    # Flask-SSE failed.
    assert background.received == [Message("one"), Message("end")]


def test_nothing_is_lost_or_repeated_between_two_connections(
    app: Flask, blueprint: ServerSentEventsBlueprint, tmp_path: Path
) -> None:
    """The hub ends every stream after a moment, so some events are published between connections."""
    with Hub(tmp_path / "hub.log", "--stream-lifetime", "200ms") as hub, app.app_context():
        app.config.update(hub.settings)
        background = Background(app, blueprint.messages())
        until(lambda: listeners(hub) == 1, "the stream is open")
        numbers = [f"{number}" for number in range(300)]
        for number in numbers:
            blueprint.publish(number)
            time.sleep(0.005)
        blueprint.publish("end")
        background.join()
    assert [message.data for message in background.received] == [*numbers, "end"]


def test_several_channels_are_one_stream(on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub) -> None:
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages(["a", "b"]))
        until(lambda: listeners(hub, "a") == 1, "the stream is open")
        blueprint.publish("one", channel="a")
        # There is no order between channels, and "end" must be the last.
        until(lambda: background.received, "the first message")
        blueprint.publish("end", channel="b")
        background.join()
    assert [message.data for message in background.received] == ["one", "end"]


def test_a_hub_that_starts_later_is_found(on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub) -> None:
    hub.kill()
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages())
        hub.start()
        until(lambda: listeners(hub) == 1, "the stream is open")
        blueprint.publish("end")
        background.join()
    assert background.received == [Message("end")]


def test_a_refusal_of_the_hub_is_raised(on_hub: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    on_hub.config["SSE_HUB_KEY"] = "another-key"
    with on_hub.app_context(), pytest.raises(RefusedError, match="SSE_HUB_KEY"):
        next(blueprint.messages())
    with on_hub.app_context(), pytest.raises(InvalidError):
        next(blueprint.messages("a\nb"))


def test_a_hub_stream_begins_after_an_id_or_with_the_last_events(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    published = [backend.publish("c", event(data)) for data in ("one", "two", "three")]
    for start in ({"after": published[1].position.encode()}, {"last": 1}):
        with closing(backend.subscribe(["c"], **start)) as stream:  # type: ignore[arg-type]
            assert read(stream, "three") == [("c", None, "three", False, None, None)]
            assert stream.events() == []


def test_a_hub_stream_without_references_disconnects(on_hub: Flask, hub: Hub) -> None:
    stream = backends.choose(Settings.of(on_hub.config)).subscribe(["sse"])
    until(lambda: listeners(hub) == 1, "the stream is open")
    before = threading.active_count()
    del stream
    gc.collect()
    until(lambda: listeners(hub) == 0, "the stream is closed")
    until(lambda: threading.active_count() < before, "the reading thread has ended")


def test_a_closed_hub_stream_has_ended(on_hub: Flask, hub: Hub) -> None:
    stream = backends.choose(Settings.of(on_hub.config)).subscribe(["sse"])
    until(lambda: listeners(hub) == 1, "the stream is open")
    stream.close()
    assert stream.events() is None
    until(lambda: listeners(hub) == 0, "the stream is closed")


def test_a_slow_reader_receives_a_reset(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "the stream is open")
        with Source(hub.port, "/stream?channel=c", Authorization=f"Bearer {KEY}") as source:
            for number in range(30):
                backend.publish("c", event(f"{number} " + "x" * 500_000))
            backend.publish("c", event("end"))
            while source.event()["data"] != "end":
                pass
        received = read(stream, "end")
    assert ("c", "stream-reset", '{"channel": "c", "reason": "too-slow"}', True, None, None) in received


def test_an_event_whose_fields_are_no_longer_kept_is_reported_as_missed(
    on_hub: Flask, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader could take an event whose fields had just been dropped. The event was mistaken for a failure, and
    vanished."""
    monkeypatch.setattr(hub_stream, "EVENT_FIELDS_MAX", 0)
    backend = backends.choose(Settings.of(on_hub.config))
    reset = ("c", "stream-reset", '{"channel": "c", "reason": "too-slow"}', True, None, None)
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "the stream is open")
        backend.publish("c", event("x"))
        while not (events := stream.events()):
            assert events is not None and wait(stream.fileno(), 20)
    assert set(events) == {reset}


def test_a_hub_stream_has_ended_in_a_child_and_goes_on_in_its_parent(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "the stream is open")
        backend.publish("c", event("before"))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                ended = stream.events() is None
                stream.close()
                with closing(backend.subscribe(["c"], last=1)) as own:
                    status = 0 if ended and read(own, "before") else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        backend.publish("c", event("after"))
        assert [event[2] for event in read(stream, "after")] == ["before", "after"]


def test_no_published_event_is_mistaken_for_the_hubs_own(on_hub: Flask, hub: Hub) -> None:
    """A type that began with `\\x01` vanished, and `\\x01stream-reset` was reported as a reset."""
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "the stream is open")
        with pytest.raises(InvalidError):
            backend.publish("c", event("forged", type="\x01stream-reset"))
        deep = "[" * 200 + "]" * 200
        for data in ("null", '["stream-reset", "{}"]', "{", deep):
            backend.publish("c", event(data))
        backend.publish("c", event("end"))
        received = read(stream, "end")
    assert [event[1:4] for event in received] == [
        (None, "null", False),
        (None, '["stream-reset", "{}"]', True),
        (None, "{", False),
        (None, deep, False),
        (None, "end", False),
    ]
