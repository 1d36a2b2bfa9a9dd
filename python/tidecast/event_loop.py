"""Waiting for subscriptions as tasks of asyncio: one descriptor an event loop, however many there are."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, get_running_loop
from asyncio import sleep as sleep
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._native import Selector

if TYPE_CHECKING:
    from .backends import EventReader


async def wait_readable(stream: EventReader) -> None:
    """Waits until a subscription, which was found empty, has something to read."""
    loop = get_running_loop()
    waiters = _of_loops.get(loop)
    if waiters is None:
        waiters = _of_loops[loop] = _LoopWaiters()
    await waiters.wait(loop, stream)


class _LoopWaiters:
    """The tasks of one event loop that wait."""

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
            # Told at once, if something has come since it was found empty.
            stream.select(self._selector, number)
            await future
        finally:
            del self._futures[number]
            if not self._futures:
                loop.remove_reader(self._selector.fileno())

    def _on_ready(self) -> None:
        for number in self._selector.take():
            # It may have been cancelled by now.
            if (future := self._futures.get(number)) is not None and not future.done():
                future.set_result(None)


_of_loops: WeakKeyDictionary[AbstractEventLoop, _LoopWaiters] = WeakKeyDictionary()
