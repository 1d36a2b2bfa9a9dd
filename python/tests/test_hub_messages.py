"""`messages()` in hub backend: the hub's stream, followed for as long as somebody reads."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from support.hub import KEY, Hub
from support.source import Source
from support.waiting import until

from tidecast import InvalidError, RefusedError, backends
from tidecast.backends import EventReader
from tidecast.event import Event
from tidecast.flask_sse import Message, ServerSentEventsBlueprint
from tidecast.hub import hub_stream
from tidecast.hub.client import Client
from tidecast.poll import wait
from tidecast.settings import Settings


def listeners(hub: Hub, channel: str = "sse") -> int:
    """How many streams the hub has, by what a publish to nobody in particular says."""
    event = Event.of("", "probe", None, None, json.dumps)
    return Client(hub.url, KEY).publish(channel, event).receivers


def read(stream: EventReader, until_data: str) -> list[tuple[object, ...]]:
    """What comes, up to an event with this data."""
    told: list[tuple[object, ...]] = []
    while not told or told[-1][2] != until_data:
        events = stream.events()
        assert events is not None
        assert events or wait(stream.fileno(), 20), told
        told += [event for event in events if event[1] != "probe"]
    return told


class Background:
    """Messages as they come, read by a thread of their own."""

    def __init__(self, app: Flask, messages: Generator[Message, None, None]) -> None:
        self._app = app
        self.told: list[Message] = []
        self.error: Exception | None = None
        self._messages = messages
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._app.app_context():
                for message in self._messages:
                    if message.type != "probe":
                        self.told.append(message)
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
        until(lambda: listeners(hub, "c") == 1, "it follows")
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
    assert background.told == sent
    # It was left behind when nobody read any more.
    until(lambda: listeners(hub, "c") == 0, "the hub is left")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_messages_resume_after_a_restart_of_the_hub(
    on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub, how: str
) -> None:
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages())
        until(lambda: listeners(hub) == 1, "it follows")
        blueprint.publish("one")
        until(lambda: background.told, "the first message")
        for _ in range(2):
            getattr(hub, how)()
            hub.start()
            until(lambda: listeners(hub) == 1, "it follows again")
        blueprint.publish("end")
        background.join()
    # What was in the hub's memory is gone, and its `stream-reset` was yielded, with a dictionary for data: what was
    # written for Flask-SSE and does `message.data.upper()` failed with it.
    assert background.told == [Message("one"), Message("end")]


def test_nothing_is_lost_or_repeated_between_two_connections(
    app: Flask, blueprint: ServerSentEventsBlueprint, tmp_path: Path
) -> None:
    """The hub ends each stream after a moment, so what is published falls between connections too."""
    with Hub(tmp_path / "hub.log", "--stream-lifetime", "200ms") as hub, app.app_context():
        app.config.update(hub.settings)
        background = Background(app, blueprint.messages())
        until(lambda: listeners(hub) == 1, "it follows")
        numbers = [f"{number}" for number in range(300)]
        for number in numbers:
            blueprint.publish(number)
            time.sleep(0.005)
        blueprint.publish("end")
        background.join()
    assert [message.data for message in background.told] == [*numbers, "end"]


def test_several_channels_are_one_stream(on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub) -> None:
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages(["a", "b"]))
        until(lambda: listeners(hub, "a") == 1, "it follows")
        blueprint.publish("one", channel="a")
        # Between channels no order is promised, and it ends with "end".
        until(lambda: background.told, "the first one has come")
        blueprint.publish("end", channel="b")
        background.join()
    assert [message.data for message in background.told] == ["one", "end"]


def test_a_hub_that_starts_later_is_found(on_hub: Flask, blueprint: ServerSentEventsBlueprint, hub: Hub) -> None:
    hub.kill()
    with on_hub.app_context():
        background = Background(on_hub, blueprint.messages())
        hub.start()
        until(lambda: listeners(hub) == 1, "it follows")
        blueprint.publish("end")
        background.join()
    assert background.told == [Message("end")]


def test_a_refusal_of_the_hub_is_raised(on_hub: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    on_hub.config["SSE_HUB_KEY"] = "another-key"
    with on_hub.app_context(), pytest.raises(RefusedError, match="SSE_HUB_KEY"):
        next(blueprint.messages())
    with on_hub.app_context(), pytest.raises(InvalidError):
        next(blueprint.messages("a\nb"))


def test_a_hub_stream_begins_after_an_id_or_with_the_last_events(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    published = [backend.publish("c", Event.of(data, None, None, None, json.dumps)) for data in ("one", "two", "three")]
    for told in ({"after": published[1].position.encode()}, {"last": 1}):
        with closing(backend.subscribe(["c"], **told)) as stream:  # type: ignore[arg-type]
            assert read(stream, "three") == [("c", None, "three", False, None, None)]
            assert stream.events() == []


def test_a_hub_stream_without_references_disconnects(on_hub: Flask, hub: Hub) -> None:
    stream = backends.choose(Settings.of(on_hub.config)).subscribe(["sse"])
    until(lambda: listeners(hub) == 1, "it follows")
    before = threading.active_count()
    del stream
    gc.collect()
    until(lambda: listeners(hub) == 0, "the hub is left")
    until(lambda: threading.active_count() < before, "its thread has ended")


def test_a_closed_hub_stream_has_ended(on_hub: Flask, hub: Hub) -> None:
    stream = backends.choose(Settings.of(on_hub.config)).subscribe(["sse"])
    until(lambda: listeners(hub) == 1, "it follows")
    stream.close()
    assert stream.events() is None
    until(lambda: listeners(hub) == 0, "the hub is left")


def test_a_slow_reader_receives_a_reset(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "it follows")
        with Source(hub.port, "/stream?channel=c", Authorization=f"Bearer {KEY}") as source:
            for number in range(30):
                backend.publish("c", Event.of(f"{number} " + "x" * 500_000, None, None, None, json.dumps))
            backend.publish("c", Event.of("end", None, None, None, json.dumps))
            while source.event()["data"] != "end":
                pass
        told = read(stream, "end")
    assert ("c", "stream-reset", '{"channel": "c", "reason": "too-slow"}', True, None, None) in told


def test_an_event_whose_fields_are_no_longer_kept_is_reported_as_missed(
    on_hub: Flask, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader at the edge of what the engine keeps could take an event of which the rest was just dropped: the event
    was taken for a failure that there was not, and vanished."""
    monkeypatch.setattr(hub_stream, "EVENT_FIELDS_MAX", 0)
    backend = backends.choose(Settings.of(on_hub.config))
    reset = ("c", "stream-reset", '{"channel": "c", "reason": "too-slow"}', True, None, None)
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "it follows")
        backend.publish("c", Event.of("x", None, None, None, json.dumps))
        while not (events := stream.events()):
            assert events is not None and wait(stream.fileno(), 20)
    assert set(events) == {reset}


def test_a_hub_stream_has_ended_in_a_child_and_goes_on_in_its_parent(on_hub: Flask, hub: Hub) -> None:
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "it follows")
        backend.publish("c", Event.of("before", None, None, None, json.dumps))
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
        backend.publish("c", Event.of("after", None, None, None, json.dumps))
        assert [event[2] for event in read(stream, "after")] == ["before", "after"]


def test_no_published_event_is_mistaken_for_the_hubs_own(on_hub: Flask, hub: Hub) -> None:
    """A type that began with `\\x01` vanished, and `\\x01stream-reset` was told as a reset."""
    backend = backends.choose(Settings.of(on_hub.config))
    with closing(backend.subscribe(["c"])) as stream:
        until(lambda: listeners(hub, "c") == 1, "it follows")
        with pytest.raises(InvalidError):
            backend.publish("c", Event.of("forged", "\x01stream-reset", None, None, json.dumps))
        deep = "[" * 200 + "]" * 200
        for data in ("null", '["stream-reset", "{}"]', "{", deep):
            backend.publish("c", Event.of(data, None, None, None, json.dumps))
        backend.publish("c", Event.of("end", None, None, None, json.dumps))
        told = read(stream, "end")
    assert [event[1:4] for event in told] == [
        (None, "null", False),
        (None, '["stream-reset", "{}"]', True),
        (None, "{", False),
        (None, deep, False),
        (None, "end", False),
    ]
