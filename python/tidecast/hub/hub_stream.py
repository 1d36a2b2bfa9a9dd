"""A hub's stream, followed: connected again where it was, for as long as somebody reads.

A thread reads the hub's bytes (under gevent a greenlet) and hands the events to a channel of an engine in memory, of
which the reader has the stream. So a descriptor tells when there is something, what a slow reader leaves is bounded and
told as anywhere, and SIGTERM ends it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import logging
import os
import random
import socket
import threading
from typing import TYPE_CHECKING, NamedTuple

from .._native import Decoder, Engine
from ..errors import InvalidError, UnavailableError
from ..skipped_events import passed_over

if TYPE_CHECKING:
    from .._native import Selector
    from .client import Client

#: The first pause before it connects again where the hub has named none, and the longest, in seconds.
PAUSE_SECONDS = (1.0, 30.0)

#: Most that is read at once, in bytes.
READ_BYTES = 64 * 1024

#: For how many unread events the parts beside their data are kept: twice the 10,000 that the engine keeps, as a reader
#: takes events from the engine before it looks up what belongs to them.
SAID_MAX = 20_000

_logger = logging.getLogger("tidecast")

_names = itertools.count()

#: The number of what tells the reader of a failure.
FAILURE = "failure"

#: As :meth:`tidecast._native.Stream.events` has it.
Told = tuple[str, "str | None", str, bool, "str | None", "int | None"]


class Said(NamedTuple):
    """What the hub said of an event beside its data. It never passes through the engine, where it could be mistaken
    for what the engine says itself."""

    type: str | None

    #: The event's own id.
    id: str | None

    #: How to go on behind it.
    last_event_id: str


class Following:
    """A stream of a hub, read event by event: what :class:`tidecast._native.Stream` is of an engine.

    :param client: The hub.
    :param engine: One in memory, of the hub's own.
    :param channels: What is followed.
    :param after: The last event id; empty for none.
    :param last: Without one: begin with the newest so many of each channel.
    """

    def __init__(self, client: Client, engine: Engine, channels: list[str], after: bytes, last: int | None) -> None:
        self._channels = channels
        self._failure: Exception | None = None
        self._last_event_id = ""
        name = str(next(_names))
        self._stream = engine.subscribe([name])
        self._follower = _Follower(client, engine, name, channels, after, last)
        threading.Thread(target=self._follower.run, name="tidecast-hub", daemon=True).start()

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something new."""
        return self._stream.fileno()

    def select(self, selector: Selector, number: int) -> None:
        """Tells a selector when there is something new."""
        self._stream.select(selector, number)

    def events(self, at_most: int = 256) -> list[Told] | None:
        """Every event that is ready: channel, type, data, whether that is JSON, own id, reconnection time.

        The channel is told where there is one alone, else empty; and JSON is what is an object or an array, as a stream
        does not tell text from the rest.

        :return: Events; none for nothing; ``None`` at the end.
        :raises tidecast.errors.TidecastError: The hub refuses the stream.
        """
        told: list[Told] = []
        events = None if self._failure else self._stream.events(at_most)
        for _, _, data, is_json, number, retry_ms in events or ():
            if number is None:
                # Of the engine itself. Everything else has a number.
                told += self._resets(json.loads(data)["reason"])
            elif number == FAILURE:
                self._failure = self._follower.failure
            elif (said := self._follower.taken(number)) is not None:
                self._last_event_id = said.last_event_id
                told.append((self._channel(), said.type, data, is_json, said.id, retry_ms))
            else:
                told += self._resets("too-slow")
        # What was there before it is told first.
        if self._failure is not None and not told:
            self.close()
            raise self._failure
        if events is None:
            self.close()
            return None
        return told

    def cursor(self) -> str | None:
        """What to pass as ``after`` to go on behind what ``events`` has given; empty where it is not known, ``None`` at
        the end."""
        return None if self._stream.cursor() is None else self._last_event_id

    def close(self) -> None:
        """Leave the hub."""
        self._stream.close()
        self._follower.close()

    def __del__(self) -> None:
        if hasattr(self, "_follower"):
            self.close()

    def _channel(self) -> str:
        return self._channels[0] if len(self._channels) == 1 else ""

    def _resets(self, reason: str) -> list[Told]:
        # Where it goes on is a position of the engine's here, and of no use to anybody.
        return [
            (channel, "stream-reset", json.dumps({"channel": channel, "reason": reason}), True, None, None)
            for channel in self._channels
        ]


class _Follower:
    """What the thread does. It knows nothing of who reads, who may be gone."""

    def __init__(
        self, client: Client, engine: Engine, name: str, channels: list[str], after: bytes, last: int | None
    ) -> None:
        self._pid = os.getpid()
        self._client = client
        self._engine = engine
        self._name = name
        self._channels = channels
        self._after = after
        self._last = last
        self._retry_seconds: float | None = None
        self._socket: socket.socket | None = None
        self._closed = threading.Event()
        #: What the hub said of the events that the engine has, by the numbers that they have there as their ids.
        self._said: dict[str, Said] = {}
        self._numbers = itertools.count()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Follow until it is closed, or refused."""
        failures = 0
        try:
            while not self._closed.is_set():
                try:
                    self._connection()
                    failures = 0
                except UnavailableError as error:
                    failures += 1
                    _logger.info("hub: %s", error)
                first, longest = PAUSE_SECONDS
                pause = min((self._retry_seconds or first) * 2 ** min(failures, 8), longest)
                # Drawn, so that not all who were cut come back in one moment.
                self._closed.wait(pause * random.uniform(0.5, 1))
        except Exception as error:
            self.failure = error
            # Of what has this number nothing was said.
            self._engine.publish(self._name, "", id=FAILURE)

    def close(self) -> None:
        """End it, from any thread; in the child of a fork it is the parent's, and goes on."""
        if self._pid != os.getpid():
            return
        self._closed.set()
        if (reading := self._socket) is not None:
            _hang_up(reading)

    def taken(self, number: str) -> Said | None:
        """Returns what the hub said of the event with a number, once; ``None`` if it is no longer kept."""
        return self._said.pop(number, None)

    def _connection(self) -> None:
        """Read one connection to its end, however that comes.

        :raises TidecastError: There was none to be had.
        """
        response, through = self._client.follow(self._channels, self._after, self._last)
        self._socket = through
        decoder = Decoder()
        try:
            # It may have been closed before there was a socket to hang up.
            while not self._closed.is_set() and (data := response.read1(READ_BYTES)):
                for event in decoder.feed(data):
                    self._hand_on(*event)
                self._after = decoder.resume_id.encode() or self._after
        except (OSError, ValueError, http.client.HTTPException) as error:
            _logger.debug("hub: the stream was lost: %r", error)
        finally:
            if decoder.retry_ms is not None:
                self._retry_seconds = decoder.retry_ms / 1000
            self._socket = None
            response.close()
            through.close()

    def _hand_on(
        self, event_type: str | None, data: str, id: str | None, retry_ms: int | None, last_event_id: str
    ) -> None:
        count = next(self._numbers)
        number = str(count)
        # Before the event is there to be read.
        self._said[number] = Said(event_type, id, last_event_id)
        # The engine let go of that one long ago, if nobody has read it.
        self._said.pop(str(count - SAID_MAX), None)
        publish = functools.partial(self._engine.publish, self._name, data, id=number, retry_ms=retry_ms)
        try:
            try:
                publish(json=data[:1] in ("{", "["))
            except InvalidError:
                # Nested deeper than JSON may be: it was published as text.
                publish()
        except InvalidError as error:
            passed_over(self._channels, error)
            self._said.pop(number, None)


def _hang_up(reading: socket.socket) -> None:
    # Whoever waits for it is woken by its end; closing it would wake nobody.
    with contextlib.suppress(OSError):
        reading.shutdown(socket.SHUT_RDWR)
