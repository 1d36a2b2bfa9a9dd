"""The publisher with threads, forks and publishes that wait."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.source import PATIENCE_SECONDS
from support.waiting import until

from tidecast.sse import Publisher
from tidecast.sse.subscriber_stream import SubscriberStream


def read(stream: SubscriberStream) -> list[str]:
    """Returns the events of a stream that ends."""
    return "".join(stream).split("\n\n")[:-1]


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(32)


def test_many_threads_publish_and_many_read(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    """The lines of two events interleaved in the original, which did not lock around the lines of one."""
    streams = [publisher.subscribe(events_max=10_000) for _ in range(8)]
    reading = [threads.submit(read, stream) for stream in streams]

    def write(name: str) -> None:
        for number in range(200):
            publisher.publish(f"{name}\n{number}")
            publisher.publish(lambda _, number=number: f"{name}\nmade {number}")

    for writing in [threads.submit(write, name) for name in "abcdefgh"]:
        writing.result(PATIENCE_SECONDS)
    publisher.close()
    received = [reader.result(PATIENCE_SECONDS) for reader in reading]
    # The same order for all readers, and each writer's events in order.
    assert all(events == received[0] for events in received)
    for name in "abcdefgh":
        own = [event for event in received[0] if event.startswith(f"data: {name}\n")]
        expected = [f"data: {name}\ndata: {made}{number}" for number in range(200) for made in ("", "made ")]
        assert own == expected
    assert len(received[0]) == 8 * 400


def test_subscribing_and_leaving_while_others_publish(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    stopped = threading.Event()

    def write() -> int:
        count = 0
        while not stopped.is_set():
            publisher.publish("x", ["a", ("b", count % 7)])
            publisher.publish(lambda name: f"{name}", "a")
            count += 1
        return count

    def come_and_go(name: int) -> None:
        for number in range(100):
            stream = publisher.subscribe(["a", ("b", number % 7)], properties=name, initial_data=["initial"])
            assert next(stream) == "data: initial\n"
            if number % 3:
                publisher.unsubscribe("a", properties=name)
                assert name not in [subscriber.properties for subscriber in publisher.get_subscribers("a")]
            if number % 2:
                stream.close()

    writing = [threads.submit(write) for _ in range(2)]
    going = [threads.submit(come_and_go, name) for name in range(1, 9)]
    for each in going:
        each.result(PATIENCE_SECONDS * 3)
    stopped.set()
    assert all(each.result(PATIENCE_SECONDS) for each in writing)
    assert list(publisher.get_subscribers(["a", *[("b", number) for number in range(7)]])) == []
    assert len(publisher.subscribers_by_channel) == 0


@pytest.mark.parametrize("how", ["publisher", "stream", "END_STREAM"])
def test_the_end_wakes_a_waiting_reader(publisher: Publisher, threads: ThreadPoolExecutor, how: str) -> None:
    stream = publisher.subscribe(initial_data=["first"], keep_alive_seconds=0)
    begun = threading.Event()

    def read_on() -> str:
        first = next(stream) + next(stream)
        begun.set()
        return first + "".join(stream)

    reading = threads.submit(read_on)
    assert begun.wait(PATIENCE_SECONDS)
    if how == "publisher":
        publisher.close()
    elif how == "stream":
        stream.close()
    else:
        next(publisher.get_subscribers()).queue.put(Publisher.END_STREAM)
    assert reading.result(PATIENCE_SECONDS) == "data: first\n\n"
    assert list(publisher.get_subscribers()) == []


def test_unsubscribing_does_not_end_the_stream(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    stream = publisher.subscribe()
    reading = threads.submit(read, stream)
    publisher.publish("before")
    publisher.unsubscribe()
    publisher.publish("after")
    assert not reading.done()
    publisher.close()
    assert reading.result(PATIENCE_SECONDS) == ["data: before"]


def test_publishing_waits_for_room(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    stream = publisher.subscribe(events_max=2, when_full="wait")
    # It receives nothing before the other one has room.
    other = publisher.subscribe()

    def write() -> None:
        for number in range(0, 200, 2):
            publisher.publish(number)
            publisher.publish(lambda _, number=number: f"{number + 1}")

    writing = threads.submit(write)
    waiting = next(publisher.get_subscribers()).queue
    until(lambda: waiting.qsize() == 2, "it is full")
    assert not writing.done()
    pieces = [next(stream) for _ in range(400)]
    writing.result(PATIENCE_SECONDS)
    publisher.close()
    expected = [f"data: {number}" for number in range(200)]
    assert "".join(pieces).split("\n\n")[:-1] == read(other) == expected


@pytest.mark.parametrize("how", ["closed", "ended", "unsubscribed"])
def test_a_publish_stops_waiting_if_the_reader_leaves(
    publisher: Publisher, threads: ThreadPoolExecutor, how: str
) -> None:
    stream = publisher.subscribe(events_max=1, when_full="wait", properties="slow")
    publisher.publish("one")
    writing = threads.submit(publisher.publish, "two")
    time.sleep(0.05)
    if how == "closed":
        stream.close()
    elif how == "ended":
        publisher.close()
    else:
        # A publish from before still waits for it.
        publisher.unsubscribe(properties="slow")
        assert next(stream) == "data: one\n"
    writing.result(PATIENCE_SECONDS)


def test_waiting_blocks_no_other_thread(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    """A publish that waits releases the interpreter's lock."""
    full = publisher.subscribe("full", events_max=1, when_full="wait")
    streams = [publisher.subscribe("idle") for _ in range(8)]
    publisher.publish("one", "full")
    waiting = [threads.submit(publisher.publish, "two", "full"), *(threads.submit(read, each) for each in streams)]
    other = publisher.subscribe("other")
    publisher.publish("x", "other")
    assert next(other) == "data: x\n"
    assert not any(each.done() for each in waiting)
    full.close()
    publisher.close()
    for each in waiting:
        each.result(PATIENCE_SECONDS)


def test_a_child_starts_without_subscribers(publisher: Publisher) -> None:
    stream = publisher.subscribe(properties="parent's")
    publisher.publish("for the parent")
    waiting = publisher.subscribe("full", events_max=1, when_full="wait")
    publisher.publish("x", "full")
    child = os.fork()
    if child == 0:
        right = list(publisher.get_subscribers()) == [] and list(stream) == []
        own = publisher.subscribe()
        # The parent's full subscriber would block this for ever.
        publisher.publish("for the child", ["default channel", "full"])
        publisher.close()
        right = right and read(own) == ["data: for the child"]
        stream.close()
        del stream, waiting, own
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [subscriber.properties for subscriber in publisher.get_subscribers()] == ["parent's"]
    publisher.publish("on")
    publisher.close()
    assert read(stream) == ["data: for the parent", "data: on"]
    assert read(waiting) == ["data: x"]


def test_forking_while_threads_publish(publisher: Publisher, threads: ThreadPoolExecutor) -> None:
    """A lock that another thread holds at the fork would be held for ever in the child."""
    stopped = threading.Event()

    def use() -> None:
        while not stopped.is_set():
            stream = publisher.subscribe(["default channel", object()])
            publisher.publish("x")
            publisher.publish(lambda _: "y")
            stream.close()

    using = [threads.submit(use) for _ in range(4)]
    codes: Counter[int] = Counter()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            own = publisher.subscribe(["default channel", "new"])
            publisher.publish("own")
            os._exit(0 if next(own) == "data: own\n" else 1)
        end = time.monotonic() + PATIENCE_SECONDS
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.kill(child, 9)
            time.sleep(0.002)
        codes[ended[1]] += 1
    stopped.set()
    for each in using:
        each.result(PATIENCE_SECONDS)
    assert codes == {0: 20}


SIGTERM = """
import os, signal, sys
from tidecast.sse import Publisher

signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
publisher = Publisher()
streams = [publisher.subscribe(), Publisher().subscribe(keep_alive_seconds=0)]
publisher.publish("last")
os.kill(os.getpid(), signal.SIGTERM)
for stream in streams:
    print(repr("".join(stream)), flush=True)
"""


def test_sigterm_ends_streams_after_what_was_published() -> None:
    done = subprocess.run([sys.executable, "-c", SIGTERM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["handled", r"'data: last\n\n'", "''"]


def test_a_publisher_without_references_ends_its_streams() -> None:
    """Nothing could be published to them any more."""
    stream = Publisher().subscribe(initial_data=["first"])
    assert read(stream) == ["data: first"]
