"""The publisher: the behaviour of the module `sse`, and its mended faults."""

from __future__ import annotations

import gc
import uuid
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from flask import Flask, Response

from tidecast import InvalidError
from tidecast.sse import Publisher, Subscriber


def read(stream: Iterator[str]) -> str:
    """Returns the text of a stream that ends."""
    return "".join(stream)


def test_every_subscriber_receives_an_event(publisher: Publisher) -> None:
    streams = [publisher.subscribe() for _ in range(3)]
    publisher.publish("one")
    publisher.publish("two")
    publisher.close()
    assert [read(stream) for stream in streams] == ["data: one\n\ndata: two\n\n"] * 3


def test_the_pieces_are_the_lines(publisher: Publisher) -> None:
    stream = publisher.subscribe()
    publisher.publish("one\ntwo")
    assert [next(stream) for _ in range(3)] == ["data: one\n", "data: two\n", "\n"]


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        ("", "data: \n\n"),
        (None, "data: None\n\n"),
        (5, "data: 5\n\n"),
        ({"a": 1}, "data: {'a': 1}\n\n"),
        (b"x", "data: b'x'\n\n"),
        (" indented", "data:  indented\n\n"),
        ("a\n", "data: a\ndata: \n\n"),
        ("a\n\nb", "data: a\ndata: \ndata: b\n\n"),
        # `str.splitlines` would split here, but an event stream does not.
        ("a\u2028b\x85c\x0bd", "data: a\u2028b\x85c\x0bd\n\n"),
        ("a\r\nb", "data: a\ndata: b\n\n"),
    ],
)
def test_data_is_converted_by_str(publisher: Publisher, data: object, wire: str) -> None:
    stream = publisher.subscribe(initial_data=[data])
    publisher.publish(data)
    publisher.close()
    assert read(stream) == wire * 2


def test_data_and_types_cannot_forge_an_event(publisher: Publisher) -> None:
    """A lone CR was written as it came. It ends a line for a browser, so the text after it was a forged field."""
    stream = publisher.subscribe()
    publisher.publish("a\revent: forged\rdata: evil")
    with pytest.raises(ValueError, match="control character"):
        publisher.publish("x", type="a\ndata: forged")
    publisher.close()
    assert read(stream) == "data: a\ndata: event: forged\ndata: data: evil\n\n"


def test_channels(publisher: Publisher) -> None:
    first, second = publisher.subscribe("first"), publisher.subscribe("second")
    both, twice = publisher.subscribe(["first", "second"]), publisher.subscribe(("first", "first"))
    publisher.publish("1", "first")
    publisher.publish("2", channel="second")
    publisher.publish("3", (name for name in ("first", "second")))
    publisher.publish("4", "nobody's")
    publisher.publish("5", [])
    publisher.close()
    streams = {"first": first, "second": second, "both": both, "twice": twice}
    assert {name: read(stream).replace("data: ", "").split() for name, stream in streams.items()} == {
        "first": ["1", "3"],
        "second": ["2", "3"],
        # Once for each subscription.
        "both": ["1", "2", "3", "3"],
        "twice": ["1", "1", "3", "3"],
    }


def test_a_channels_name_may_be_any_hashable_object(publisher: Publisher) -> None:
    """Numbers, pairs and ids are channels too: the engine's rules for names do not apply."""
    key = uuid.uuid4()
    names = [("room", 5), 5, key, "", "line\nbreak", "x" * 1000, None, frozenset({1})]
    streams = [publisher.subscribe([name]) for name in names]
    for name in names:
        publisher.publish(repr(name), [name])
    # Equal names are one channel, as in a dictionary, and iterating over bytes yields numbers.
    publisher.publish("float", [5.0])
    publisher.publish("bytes", b"\x05")
    publisher.close()
    texts = [read(stream) for stream in streams]
    assert texts.pop(1) == "data: 5\n\ndata: float\n\ndata: bytes\n\n"
    assert texts == [f"data: {name!r}\n\n" for name in names if name != 5]


@pytest.mark.parametrize("channel", [None, 5, [[]]])
def test_an_invalid_channel_is_a_type_error(publisher: Publisher, channel: Any) -> None:
    for use in (publisher.subscribe, publisher.unsubscribe, lambda name: publisher.publish("x", name)):
        with pytest.raises(TypeError):
            use(channel)


def test_a_function_makes_an_event_for_each_subscriber(publisher: Publisher) -> None:
    streams = [publisher.subscribe(properties=number) for number in (1, 2, 3)]
    publisher.publish(lambda number: number)
    # A falsy result sends nothing.
    publisher.publish(lambda number: ["", None, f"{number}\n{number}"][number - 1])
    publisher.close()
    assert [read(stream) for stream in streams] == [
        "data: 1\n\n",
        "data: 2\n\n",
        "data: 3\n\ndata: 3\ndata: 3\n\n",
    ]


def test_a_function_is_called_once_for_each_subscription(publisher: Publisher) -> None:
    stream = publisher.subscribe(["a", "b"], properties="both")
    seen: list[str] = []

    def make(properties: str) -> str:
        seen.append(properties)
        return f"{len(seen)}"

    publisher.publish(make, ["a", "b"])
    publisher.publish(make, "nobody's")
    publisher.close()
    assert seen == ["both", "both"]
    assert read(stream) == "data: 1\n\ndata: 2\n\n"


def test_an_exception_of_a_function_reaches_the_publisher(publisher: Publisher) -> None:
    streams = [publisher.subscribe(properties=number) for number in (1, 2, 3)]

    def make(number: int) -> float:
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        publisher.publish(make)
    publisher.close()
    # Only the subscribers before the exception have their event.
    assert [read(stream) for stream in streams] == ["data: -1.0\n\n", "", ""]


def test_a_function_may_use_its_publisher(publisher: Publisher) -> None:
    streams = {name: publisher.subscribe(properties=name) for name in ("ada", "bob")}
    joined = []

    def make(name: str) -> str:
        publisher.publish(f"nested by {name}")
        publisher.unsubscribe(properties="bob")
        joined.append(publisher.subscribe(properties="late"))
        return f"made for {name}"

    publisher.publish(make)
    assert [subscriber.properties for subscriber in publisher.get_subscribers()] == ["ada", "late", "late"]
    publisher.close()
    assert read(streams["ada"]) == "data: nested by ada\n\ndata: nested by bob\n\ndata: made for ada\n\n"
    # It subscribed before the call, and left before the events were sent.
    assert read(streams["bob"]) == "data: nested by ada\n\n"
    assert [read(stream) for stream in joined] == ["data: nested by bob\n\n", ""]


def test_falsy_properties_become_an_empty_dictionary(publisher: Publisher) -> None:
    streams = [publisher.subscribe(properties=given) for given in (None, 0, "", [], False)]
    properties = [subscriber.properties for subscriber in publisher.get_subscribers()]
    assert properties == [{}] * 5
    assert len({id(each) for each in properties}) == len(streams)


def test_unsubscribe(publisher: Publisher) -> None:
    streams = [publisher.subscribe(["a", "b"], properties=given) for given in (1, 2, 2, None, {"name": "ada"})]

    def there(name: str) -> list[object]:
        return [subscriber.properties for subscriber in publisher.get_subscribers(name)]

    assert publisher.unsubscribe("a", properties=2) is None  # type: ignore[func-returns-value]
    assert (there("a"), there("b")) == ([1, {}, {"name": "ada"}], [1, 2, 2, {}, {"name": "ada"}])
    publisher.unsubscribe(["a", "b"], properties={"name": "ada"})
    publisher.unsubscribe("b", properties={})
    # Nobody matches: a falsy property became an empty dictionary.
    publisher.unsubscribe("a", properties=0)
    assert (there("a"), there("b")) == ([1, {}], [1, 2, 2])
    publisher.unsubscribe("b")
    assert (there("a"), there("b")) == ([1, {}], [])
    publisher.unsubscribe()
    publisher.publish("x", ["a", "b"])
    publisher.close()
    # Including the streams without a channel.
    assert [read(stream) for stream in streams] == ["data: x\n\n", "", "", "data: x\n\n", ""]


def test_subscribers(publisher: Publisher) -> None:
    streams = {name: publisher.subscribe(channels, name) for name, channels in (("ada", "a"), ("bob", ["a", "b"]))}
    subscribers = publisher.get_subscribers(["a", "b"])
    assert next(subscribers).properties == "ada"
    (bob, again) = subscribers
    assert bob is again
    assert isinstance(bob, Subscriber) and bob._fields == ("queue", "properties")
    queue, properties = bob
    assert (properties, queue.empty()) == ("bob", True)
    publisher.publish("x", ["a", "b"])
    assert (queue.qsize(), queue.empty()) == (2, False)
    streams["bob"].close()
    assert queue.qsize() == 0
    assert [subscriber.properties for subscriber in publisher.get_subscribers(["a", "b"])] == ["ada"]
    # The subscribers are looked up during the iteration.
    later = publisher.get_subscribers("b")
    streams["eve"] = publisher.subscribe("b", "eve")
    assert [subscriber.properties for subscriber in later] == ["eve"]


def test_subscribers_by_channel(publisher: Publisher) -> None:
    assert len(publisher.subscribers_by_channel["default channel"]) == 0
    _stream, other = publisher.subscribe(properties=1), publisher.subscribe(["other"])
    by_channel = publisher.subscribers_by_channel
    assert [subscriber.properties for subscriber in by_channel["default channel"]] == [1]
    assert "other" in by_channel and sorted(map(str, by_channel)) == ["default channel", "other"]
    assert sum(map(len, by_channel.values())) == len(by_channel) == 2
    # The original kept every channel for ever, even after a mere look-up.
    assert by_channel["looked for"] == ()
    other.close()
    assert len(by_channel["other"]) == 0
    del other
    gc.collect()
    assert list(by_channel) == ["default channel"]


def test_a_dropped_stream_unsubscribes(publisher: Publisher) -> None:
    """Its queue kept filling for ever."""
    stream, closed = publisher.subscribe(initial_data="a"), publisher.subscribe(initial_data="a")
    kept = list(publisher.get_subscribers())
    closed.close()
    closed.close()
    assert list(closed) == []
    assert next(stream) == "data: a\n"
    del stream
    gc.collect()
    assert list(publisher.get_subscribers()) == []
    assert [subscriber.queue.qsize() for subscriber in kept] == [0, 0]


def test_a_stream_dropped_unread_counts_until_the_next_publish(publisher: Publisher) -> None:
    """Tests of applications subscribe without keeping the stream, and then list the subscribers. Such a subscriber must
    not stay for ever."""
    for number in range(1500):
        publisher.subscribe(properties=number)
    gc.collect()
    assert [subscriber.properties for subscriber in publisher.get_subscribers()] == list(range(500, 1500))
    publisher.unsubscribe(properties=500)
    assert len(publisher.subscribers_by_channel["default channel"]) == 999
    publisher.publish("x")
    assert list(publisher.get_subscribers()) == []


def test_properties_are_released_with_the_stream(publisher: Publisher) -> None:
    """Properties may refer to the publisher and to the stream, and must not keep them alive."""

    class User:
        def __init__(self) -> None:
            self.publisher = publisher
            self.stream: object = None

    user = User()
    user.stream = stream = publisher.subscribe(properties=user, initial_data="a")
    next(stream)
    gone = weakref.ref(user)
    del user, stream
    gc.collect()
    assert gone() is None
    assert list(publisher.get_subscribers()) == []


def test_initial_data_comes_first(publisher: Publisher) -> None:
    stream = publisher.subscribe(initial_data=["start 1", 2])
    publisher.publish("then")
    # Iterating over a string yields characters.
    letters = publisher.subscribe(initial_data="ab")
    called = publisher.subscribe(initial_data=[print])
    publisher.close()
    assert read(stream) == "data: start 1\n\ndata: 2\n\ndata: then\n\n"
    assert read(letters) == "data: a\n\ndata: b\n\n"
    assert read(called) == f"data: {print}\n\n"


def test_it_is_a_generator(publisher: Publisher) -> None:
    stream = publisher.subscribe(initial_data="ab")
    assert isinstance(stream, Generator) and iter(stream) is stream
    assert stream.send(None) == "data: a\n"
    with pytest.raises(LookupError, match="thrown"):
        stream.throw(LookupError("thrown"))
    assert list(stream) == []


def test_a_publisher_goes_on_after_it_was_closed(publisher: Publisher) -> None:
    before = publisher.subscribe()
    publisher.close()
    after = publisher.subscribe()
    publisher.publish("x")
    publisher.close()
    assert (read(before), read(after)) == ("", "data: x\n\n")


def test_one_stream_can_be_ended(publisher: Publisher) -> None:
    stream, other = publisher.subscribe(properties=1), publisher.subscribe(properties=2)
    publisher.publish("last")
    queue = next(publisher.get_subscribers()).queue
    with pytest.raises(TypeError, match="only Publisher"):
        queue.put({})
    queue.put(Publisher.END_STREAM)
    assert read(stream) == "data: last\n\n"
    assert [subscriber.properties for subscriber in publisher.get_subscribers()] == [2]
    assert next(other) == "data: last\n"


def test_a_type(publisher: Publisher) -> None:
    stream = publisher.subscribe()
    publisher.publish("x", type="greeting")
    publisher.publish(lambda _: "y", type="greeting")
    for refused in ("", "stream-reset", "x" * 256):
        with pytest.raises(InvalidError):
            publisher.publish("x", type=refused)
    publisher.close()
    assert read(stream) == "event: greeting\ndata: x\n\nevent: greeting\ndata: y\n\n"


def test_comments_are_sent_during_silence(publisher: Publisher) -> None:
    stream = publisher.subscribe(keep_alive_seconds=0.05)
    assert [next(stream) for _ in range(2)] == [":\n"] * 2
    publisher.publish("x")
    assert next(stream) == "data: x\n"


def test_in_a_request_the_first_comment_comes_at_once(app: Flask, publisher: Publisher) -> None:
    """A server sends the response's head with the first piece, and a page has no `onopen` before."""

    @app.get("/subscribe")
    def subscribe() -> Response:
        return Response(publisher.subscribe(), content_type="text/event-stream")

    @app.get("/initial")
    def initial() -> Response:
        return Response(publisher.subscribe(initial_data="a"), content_type="text/event-stream")

    for path, first in (("/subscribe", b":\n"), ("/initial", b"data: a\n")):
        response = app.test_client().get(path, buffered=False)
        assert next(iter(response.response)) == first
        response.close()
        assert list(publisher.get_subscribers()) == []


@pytest.mark.parametrize("publish", [lambda: "x", lambda _: "x"], ids=["no argument", "one"])
def test_any_callable_is_called(publisher: Publisher, publish: Callable[..., str]) -> None:
    stream = publisher.subscribe(properties=1)
    try:
        publisher.publish(publish)
    except TypeError as error:
        assert "positional" in str(error)
    publisher.publish(int)
    publisher.close()
    assert read(stream).endswith("data: 1\n\n")
