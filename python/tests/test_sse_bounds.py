"""The bound of the events that wait for a subscriber, and `when_full`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidecast import TooLargeError, UnavailableError
from tidecast.sse import Publisher


def read(stream: Iterator[str]) -> str:
    """Returns the text of a stream that ends."""
    return "".join(stream)


def test_a_full_subscriber_loses_the_oldest_events_and_receives_a_reset(publisher: Publisher) -> None:
    stream = publisher.subscribe(events_max=2, initial_data=["initial"])
    for number in range(5):
        publisher.publish(number)
    publisher.close()
    missed = 'event: stream-reset\ndata: {"missed":3,"reason":"too-slow"}\n\n'
    assert read(stream) == f"data: initial\n\n{missed}data: 3\n\ndata: 4\n\n"


def test_a_full_subscriber_may_end(publisher: Publisher) -> None:
    stream, other = publisher.subscribe(events_max=2, when_full="end"), publisher.subscribe()
    for number in range(3):
        publisher.publish(number)
    assert [subscriber.queue.qsize() for subscriber in publisher.get_subscribers()] == [3]
    assert read(stream) == "data: 0\n\ndata: 1\n\n"
    assert next(other) == "data: 0\n"


def test_waiting_for_room_may_time_out(publisher: Publisher) -> None:
    stream, other = publisher.subscribe(events_max=1, when_full="wait"), publisher.subscribe()
    publisher.publish("one")
    for data in ("two", lambda _: "two"):
        with pytest.raises(UnavailableError, match="no room"):
            publisher.publish(data, wait_seconds=0.05)
    publisher.close()
    # Nobody has received the event.
    assert read(stream) == read(other) == "data: one\n\n"


def test_too_large_events_are_refused(publisher: Publisher) -> None:
    stream = publisher.subscribe()
    with pytest.raises(TooLargeError):
        publisher.publish("x" * 1_048_577)
    with pytest.raises(TooLargeError):
        publisher.publish(lambda _: "x" * 1_048_577)
    with pytest.raises(TooLargeError):
        publisher.subscribe(initial_data=["x" * 1_000_000] * 9)
    with pytest.raises(ValueError, match="when_full"):
        publisher.subscribe(when_full="explode")  # type: ignore[arg-type]
    assert len(list(publisher.get_subscribers())) == 1
    publisher.close()
    assert read(stream) == ""
