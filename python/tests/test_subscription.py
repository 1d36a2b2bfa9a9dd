"""`tidecast.subscribe`, under asyncio and without it."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.hub import Hub
from support.redis_server import RedisServer
from support.source import PATIENCE_SECONDS
from support.waiting import until

import tidecast
from tidecast import backends
from tidecast.settings import Settings


def listeners(channel: str) -> int:
    backend = backends.choose(Settings.of_environment())
    return backend.engine.receivers(channel)  # type: ignore[attr-defined, no-any-return]


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def next_of(events: AsyncIterator[tidecast.Received]) -> tidecast.Received:
    return await asyncio.wait_for(anext(events), PATIENCE_SECONDS)


async def idle(task: asyncio.Task[tidecast.Received]) -> None:
    """Lets a task run until it waits."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


def test_events_have_the_fields_of_a_page(channel: str) -> None:
    async def run() -> None:
        async with tidecast.subscribe(channel) as events:
            tidecast.publish("text", channel=channel)
            tidecast.publish({"a": [1]}, type="t", id=7, retry=5, channel=channel)
            first, second = await next_of(events), await next_of(events)
        assert (first.channel, first.type, first.data, first.retry) == (channel, "message", "text", None)
        assert (second.type, second.json(), second.id, second.retry) == ("t", {"a": [1]}, "7", 5)
        assert first.id.endswith(".1")
        with pytest.raises(ValueError, match="Expecting value"):
            first.json()
        assert listeners(channel) == 0

    asyncio.run(run())


@pytest.mark.parametrize("last", [-1, 1001])
@pytest.mark.parametrize("hub", [None, "http://127.0.0.1:1"], ids=["memory", "hub"])
def test_an_invalid_last_is_refused_at_once(last: int, hub: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative number was an `OverflowError`, and with a hub nothing was reported before the first event."""
    if hub is not None:
        monkeypatch.setenv("SSE_HUB_URL", hub)
        monkeypatch.setenv("SSE_HUB_KEY", "key")
    with pytest.raises(tidecast.InvalidError, match="last must be 0 to 1000"):
        tidecast.subscribe("c", last=last)


def test_a_subscription_waits_while_other_tasks_run(channel: str) -> None:
    async def run() -> None:
        events = tidecast.subscribe(channel)
        task = asyncio.create_task(anext(events))
        await idle(task)
        tidecast.publish("late", channel=channel)
        assert (await asyncio.wait_for(task, PATIENCE_SECONDS)).data == "late"
        # A publish from another thread wakes it too.
        task = asyncio.create_task(anext(events))
        await idle(task)
        await asyncio.to_thread(tidecast.publish, "from a thread", channel=channel)
        assert (await asyncio.wait_for(task, PATIENCE_SECONDS)).data == "from a thread"

    asyncio.run(run())


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_a_subscription_resumes_after_an_id(channel: str, several: bool) -> None:
    channels = [channel, f"{channel} too"] if several else [channel]
    with tidecast.subscribe(channels) as events:
        for number in range(6):
            # On several channels an event's own id does not cover the others, so the id is the cursor.
            own = "own" if number == 3 else None
            tidecast.publish(number, id=own, channel=channels[number % len(channels)])
        published = [next(events) for _ in range(6)]
    assert [event.id for event in published].count("own") == (0 if several else 1)
    for read, event in enumerate(published, start=1):
        with tidecast.subscribe(channels, after=event.id) as resumed:
            # There is no order between channels.
            rest = [next(resumed).json() for _ in published[read:]]
            assert sorted(rest) == sorted(event.json() for event in published[read:])


def test_missing_events_are_reported_and_the_reset_can_be_resumed_from(channel: str) -> None:
    for number in range(3):
        tidecast.publish(number, channel=channel)
    with tidecast.subscribe(channel, after="0123456789ab.3") as resumed:
        reset, *events = (next(resumed) for _ in range(4))
    assert (reset.type, reset.json()["reason"]) == ("stream-reset", "restarted")
    assert [event.json() for event in events] == [0, 1, 2]
    with tidecast.subscribe(channel, after=reset.id) as again:
        assert [next(again) for _ in range(3)] == events
    with tidecast.subscribe(channel, last=1) as newest:
        assert next(newest) == events[-1]


@pytest.mark.parametrize("turns", range(4))
def test_a_cancelled_task_consumes_nothing(channel: str, turns: int) -> None:
    """At whatever point it is cancelled, the event is its result, or that of the next task."""

    async def run() -> None:
        events = tidecast.subscribe(channel)
        for number in range(10):
            task = asyncio.create_task(anext(events))
            await idle(task)
            tidecast.publish(number, channel=channel)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                event = await task
            except asyncio.CancelledError:
                event = await next_of(events)
            assert event.json() == number
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)
        tidecast.publish("after", channel=channel)
        assert (await next_of(events)).data == "after"

    asyncio.run(run())


@pytest.mark.parametrize("from_thread", [False, True], ids=["task", "thread"])
def test_closing_wakes_a_waiting_task(channel: str, from_thread: bool) -> None:
    async def run() -> None:
        events = tidecast.subscribe(channel)
        received: list[str] = []

        async def listen() -> None:
            async for event in events:
                received.append(event.data)

        task = asyncio.create_task(listen())
        for _ in range(3):
            await asyncio.sleep(0)
        tidecast.publish("one", channel=channel)
        await (asyncio.to_thread(events.close) if from_thread else events.aclose())
        await asyncio.wait_for(task, PATIENCE_SECONDS)
        assert received in (["one"], [])
        # It has ended for good.
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    asyncio.run(run())


def test_closing_wakes_a_waiting_thread(channel: str) -> None:
    """The thread slept on, because the end did not wake its descriptor."""
    events = tidecast.subscribe(channel)
    with ThreadPoolExecutor() as threads:
        listening = threads.submit(list, events)
        tidecast.publish("one", channel=channel)
        until(lambda: listening.running(), "the thread reads")
        events.close()
        assert [event.data for event in listening.result(PATIENCE_SECONDS)] in (["one"], [])
    events.close()
    assert next(events, None) is None


def test_a_second_task_is_refused(channel: str) -> None:
    """asyncio has one reader for each descriptor: the first task would have waited for ever."""

    async def run() -> None:
        events = tidecast.subscribe(channel)
        task = asyncio.create_task(anext(events))
        await idle(task)
        with pytest.raises(RuntimeError, match="subscribe in each"):
            await anext(events)
        tidecast.publish("one", channel=channel)
        assert (await asyncio.wait_for(task, PATIENCE_SECONDS)).data == "one"

    asyncio.run(run())


def test_a_backlog_yields_to_other_tasks(channel: str) -> None:
    async def run() -> None:
        events = tidecast.subscribe(channel)
        for number in range(1000):
            tidecast.publish(number, channel=channel)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        assert [(await anext(events)).json() for _ in range(1000)] == list(range(1000))
        assert turns >= 3
        task.cancel()

    asyncio.run(run())


def test_no_descriptor_is_leaked(channel: str) -> None:
    async def once() -> None:
        events = tidecast.subscribe(channel)
        waiting = asyncio.create_task(anext(events))
        await idle(waiting)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Dropped in the middle of an iteration.
        tidecast.publish("one", channel=channel)
        async for _ in events:
            break

    # The first run opens what asyncio keeps.
    asyncio.run(once())
    gc.collect()
    before = descriptors()
    for _ in range(10):
        asyncio.run(once())
    gc.collect()
    assert descriptors() == before
    assert listeners(channel) == 0


def test_a_subscription_outlives_its_event_loop(channel: str) -> None:
    """A wait in another loop, or in none, must not find the remains of the first one."""
    events = tidecast.subscribe(channel)

    async def run() -> None:
        await idle(asyncio.create_task(anext(events)))

    asyncio.run(run())
    tidecast.publish("one", channel=channel)
    tidecast.publish("two", channel=channel)
    assert asyncio.run(next_of(events)).data == "one"
    assert next(events).data == "two"


def test_a_subscription_is_an_iterator_of_a_thread_too(channel: str) -> None:
    received: list[object] = []
    with tidecast.subscribe(channel) as events:

        def listen() -> None:
            received.extend(event.json() for event in events)

        thread = threading.Thread(target=listen)
        thread.start()
        for number in range(100):
            tidecast.publish(number, channel=channel)
        until(lambda: len(received) == 100, "all events were received")
    thread.join(PATIENCE_SECONDS)
    assert received == list(range(100))


def test_on_a_redis(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_REDIS_URL", redis_server.url)

    async def run() -> None:
        async with tidecast.subscribe("sse") as events:
            task = asyncio.create_task(anext(events))
            while redis_server.client.pubsub_numsub("sse")[0][1] == 0:
                await asyncio.sleep(0.01)
            # Publishing waits for Redis, so it runs in a thread.
            published = await asyncio.to_thread(tidecast.publish, {"a": 1})
            event = await asyncio.wait_for(task, PATIENCE_SECONDS)
            assert (event.id, event.json()) == (published.id, {"a": 1})
            redis_server.client.publish("sse", '{"data": "old", "type": "t", "id": "own"}')
            # No stream could resume from its own id, so it has the id before it.
            old = await next_of(events)
            assert (old.type, old.data, old.id) == ("t", "old", event.id)

    asyncio.run(run())


def test_on_a_redis_a_subscription_has_the_first_event(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first event of a channel was lost, because the subscription began only once Redis had confirmed it."""
    monkeypatch.setenv("SSE_REDIS_URL", redis_server.url)

    async def run() -> None:
        for number in range(20):
            async with tidecast.subscribe(f"fresh-{number}") as events:
                published = await asyncio.to_thread(tidecast.publish, number, channel=f"fresh-{number}")
                event = await next_of(events)
                assert (event.id, event.json()) == (published.id, number)

    asyncio.run(run())


@pytest.mark.parametrize("refused", ["", [], "a\nb", None, [b"\xff"]])
def test_an_invalid_channel_is_refused(refused: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        tidecast.subscribe(refused)  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [5, 0, b"0123456789ab.1"])
def test_an_id_must_be_a_string(after: object) -> None:
    """A number was an obscure AttributeError, and 0 counted as no id."""
    with pytest.raises(TypeError, match="after must be a string"):
        tidecast.subscribe("a", after=after)  # type: ignore[arg-type]


def test_on_a_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hub.settings.items():
        monkeypatch.setenv(name, value)

    async def run() -> None:
        for number in range(4):
            own = "own" if number == 1 else None
            await asyncio.to_thread(tidecast.publish, {"n": number}, id=own, channel="ab"[number % 2])
        for channels in ("b", ["a", "b"]):
            async with tidecast.subscribe(channels, last=10) as events:
                published = [await next_of(events) for _ in range(2 * len(channels))]
            assert published[0].id == "own" or channels != "b"
            for read, event in enumerate(published, start=1):
                async with tidecast.subscribe(channels, after=event.id) as resumed:
                    rest = [(await next_of(resumed)).data for _ in published[read:]]
                    assert sorted(rest) == sorted(event.data for event in published[read:])
        # A wait that is cancelled leaves the loop usable.
        async with tidecast.subscribe("c") as events:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.01)

    asyncio.run(run())


@pytest.mark.parametrize("on", ["memory", "redis"])
def test_the_subscriptions_of_a_loop_share_one_descriptor(on: str, request: pytest.FixtureRequest) -> None:
    """Each had its own: a program with 505 pages exceeded the usual limit of 1,024 descriptors."""
    code = """
import asyncio, resource
import tidecast

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

async def first(number, ready):
    async with tidecast.subscribe(f"c{number}") as subscription:
        ready.release()
        # One event while it waits, and one while others are read.
        return [(await anext(subscription)).data for _ in range(2)]

async def main():
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(first(number, ready)) for number in range(300)]
    for _ in tasks:
        await ready.acquire()
    for data in "ab":
        for number in range(300):
            await asyncio.to_thread(tidecast.publish, f"{data}{number}", channel=f"c{number}")
    assert await asyncio.gather(*tasks) == [[f"a{number}", f"b{number}"] for number in range(300)]

for _ in range(2):
    asyncio.run(main())
print("all")
"""
    environment = dict(os.environ)
    if on == "redis":
        environment["SSE_REDIS_URL"] = request.getfixturevalue("redis_server").url
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "all\n", done.stderr


def test_a_subscription_may_continue_in_another_loop_or_without_one(channel: str) -> None:
    with tidecast.subscribe(channel) as subscription:

        async def one() -> str:
            waiting = asyncio.create_task(anext(subscription))
            await asyncio.sleep(0)
            tidecast.publish("x", channel=channel)
            return (await waiting).data

        assert [asyncio.run(one()) for _ in range(2)] == ["x", "x"]
        thread = threading.Timer(0.1, tidecast.publish, ("y",), {"channel": channel})
        thread.start()
        assert next(subscription).data == "y"
        thread.join()
        assert asyncio.run(one()) == "x"
