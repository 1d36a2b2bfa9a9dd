"""Waiting for subscriptions as tasks of asyncio: one descriptor an event loop, however many there are."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, get_running_loop
from asyncio import sleep as sleep
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._native import Selector

if TYPE_CHECKING:
    from .backends import Subscription


async def readable(stream: Subscription) -> None:
    """Waits until a subscription, which was found empty, has something to read."""
    loop = get_running_loop()
    waiting = _of_loops.get(loop)
    if waiting is None:
        waiting = _of_loops[loop] = _Waiting()
    await waiting.wait(loop, stream)


class _Waiting:
    """The tasks of one event loop that wait."""

    def __init__(self) -> None:
        self._selector = Selector()
        self._told: dict[int, Future[None]] = {}

    async def wait(self, loop: AbstractEventLoop, stream: Subscription) -> None:
        told = loop.create_future()
        number = id(told)
        if not self._told:
            loop.add_reader(self._selector.fileno(), self._tell)
        self._told[number] = told
        try:
            # Told at once, if something has come since it was found empty.
            stream.select(self._selector, number)
            await told
        finally:
            del self._told[number]
            if not self._told:
                loop.remove_reader(self._selector.fileno())

    def _tell(self) -> None:
        for number in self._selector.take():
            # It may have been cancelled by now.
            if (told := self._told.get(number)) is not None and not told.done():
                told.set_result(None)


_of_loops: WeakKeyDictionary[AbstractEventLoop, _Waiting] = WeakKeyDictionary()
