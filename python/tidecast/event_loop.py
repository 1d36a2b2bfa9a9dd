"""Waiting for subscriptions in tasks of asyncio, with one descriptor for each event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, get_running_loop
from asyncio import sleep as sleep
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._native import Selector

if TYPE_CHECKING:
    from .backends import EventReader


async def wait_readable(stream: EventReader) -> None:
    """Waits until a subscription that had no events has some."""
    loop = get_running_loop()
    waiters = _by_loop.get(loop)
    if waiters is None:
        waiters = _by_loop[loop] = _LoopWaiters()
    await waiters.wait(loop, stream)


class _LoopWaiters:
    """The waiting tasks of one event loop."""

    def __init__(self) -> None:
        self._selector = Selector()
        self._futures: dict[int, Future[None]] = {}

    async def wait(self, loop: AbstractEventLoop, stream: EventReader) -> None:
        future = loop.create_future()
        number = id(future)
        if not self._futures:
            loop.add_reader(self._selector.fileno(), self._on_ready)
        self._futures[number] = future
        try:
            # Ready at once if an event has arrived since the subscription was read.
            stream.select(self._selector, number)
            await future
        finally:
            del self._futures[number]
            if not self._futures:
                loop.remove_reader(self._selector.fileno())

    def _on_ready(self) -> None:
        for number in self._selector.take_ready():
            # A task may have been cancelled meanwhile.
            if (future := self._futures.get(number)) is not None and not future.done():
                future.set_result(None)


_by_loop: WeakKeyDictionary[AbstractEventLoop, _LoopWaiters] = WeakKeyDictionary()
