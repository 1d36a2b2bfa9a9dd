"""A stream of a hub, read event by event. It reconnects and resumes until it is closed.

A thread (under gevent a greenlet) reads the hub's bytes and publishes the events to a channel of an engine in memory.
The reader subscribes to that channel. So a descriptor becomes readable when an event arrives, a slow reader's backlog
is bounded and its loss reported as for any other stream, and SIGTERM ends the stream.
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
from ..skipped_events import log_skipped

if TYPE_CHECKING:
    from .._native import Selector
    from .client import Client

#: The first and the longest pause before a reconnect, in seconds. The hub's own ``retry:`` replaces the first.
PAUSE_SECONDS = (1.0, 30.0)

#: Most bytes per read.
READ_BYTES = 64 * 1024

#: For how many unread events the fields beside their data are kept. It is twice the 10,000 events that the engine
#: keeps, because a reader takes events from the engine before it looks up their fields.
EVENT_FIELDS_MAX = 20_000

_logger = logging.getLogger("tidecast")

_channel_numbers = itertools.count()

#: The id of the event that tells the reader of a failure. Other events have numbers.
FAILURE_ID = "failure"

#: As :meth:`tidecast._native.EngineStream.events` returns it.
EventTuple = tuple[str, "str | None", str, bool, "str | None", "int | None"]


class EventFields(NamedTuple):
    """The fields of an event beside its data. They bypass the engine, which might take them for its own."""

    type: str | None

    #: The event's own id.
    id: str | None

    #: The id that resumes after the event.
    last_event_id: str


class HubStream:
    """A stream of a hub, read event by event, as :class:`tidecast._native.EngineStream` is a stream of an engine.

    :param client: The hub.
    :param engine: An engine in memory that nothing but hub streams uses.
    :param channels: The channels.
    :param after: The last event id; empty for none.
    :param last: Without ``after``: begin with this many of the newest events of each channel.
    """

    def __init__(self, client: Client, engine: Engine, channels: list[str], after: bytes, last: int | None) -> None:
        self._channels = channels
        self._failure: Exception | None = None
        self._last_event_id = ""
        name = str(next(_channel_numbers))
        self._stream = engine.subscribe([name])
        self._reader = _HubReader(client, engine, name, channels, after, last)
        threading.Thread(target=self._reader.run, name="tidecast-hub", daemon=True).start()

    def fileno(self) -> int:
        """Returns a descriptor that is readable when events are ready."""
        return self._stream.fileno()

    def select(self, selector: Selector, number: int) -> None:
        """Registers with a selector, as :meth:`tidecast._native.EngineStream.select` does."""
        self._stream.select(selector, number)

    def events(self, events_max: int = 256) -> list[EventTuple] | None:
        """Returns the events that are ready: channel, type, data, whether the data is JSON, own id, reconnection time.

        The channel is empty if the stream has several. Only objects and arrays count as JSON, because an event stream
        does not tell other JSON from text.

        :return: An empty list if none is ready; ``None`` at the end.
        :raises tidecast.errors.TidecastError: The hub refuses the stream.
        """
        ready: list[EventTuple] = []
        events = None if self._failure else self._stream.events(events_max)
        for _, _, data, is_json, number, retry_ms in events or ():
            if number is None:
                # The engine's own: every event that the reader thread publishes has a number.
                ready += self._resets(json.loads(data)["reason"])
            elif number == FAILURE_ID:
                self._failure = self._reader.failure
            elif (fields := self._reader.take_fields(number)) is not None:
                self._last_event_id = fields.last_event_id
                ready.append((self._channel(), fields.type, data, is_json, fields.id, retry_ms))
            else:
                ready += self._resets("too-slow")
        # Events from before the failure are returned first.
        if self._failure is not None and not ready:
            self.close()
            raise self._failure
        if events is None:
            self.close()
            return None
        return ready

    def cursor(self) -> str | None:
        """Returns the ``after`` that resumes after the events returned so far; empty if unknown, ``None`` at the
        end."""
        return None if self._stream.cursor() is None else self._last_event_id

    def close(self) -> None:
        """Ends the stream, and its connection to the hub."""
        self._stream.close()
        self._reader.close()

    def __del__(self) -> None:
        if hasattr(self, "_reader"):
            self.close()

    def _channel(self) -> str:
        return self._channels[0] if len(self._channels) == 1 else ""

    def _resets(self, reason: str) -> list[EventTuple]:
        # Without `resumed_at`: it would be a position of the engine here, which no hub knows.
        return [
            (channel, "stream-reset", json.dumps({"channel": channel, "reason": reason}), True, None, None)
            for channel in self._channels
        ]


class _HubReader:
    """The state of the thread. It holds no reference to the stream, so that dropping the stream closes it."""

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
        #: By the numbers that the events have as their ids in the engine.
        self._fields: dict[str, EventFields] = {}
        self._numbers = itertools.count()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Reads from the hub until the stream is closed or refused."""
        failures = 0
        try:
            while not self._closed.is_set():
                try:
                    self._read_connection()
                    failures = 0
                except UnavailableError as error:
                    failures += 1
                    _logger.info("hub: %s", error)
                first, longest = PAUSE_SECONDS
                pause = min((self._retry_seconds or first) * 2 ** min(failures, 8), longest)
                # Jitter spreads the reconnects of streams that were cut at the same moment.
                self._closed.wait(pause * random.uniform(0.5, 1))
        except Exception as error:
            self.failure = error
            self._engine.publish(self._name, "", id=FAILURE_ID)

    def close(self) -> None:
        """Ends the thread, from any thread. In the child of a fork it does nothing: the thread is the parent's."""
        if self._pid != os.getpid():
            return
        self._closed.set()
        if (connected := self._socket) is not None:
            _shut_down(connected)

    def take_fields(self, number: str) -> EventFields | None:
        """Removes and returns the fields of an event; ``None`` if they are no longer kept."""
        return self._fields.pop(number, None)

    def _read_connection(self) -> None:
        """Reads one connection to its end.

        :raises TidecastError: The hub cannot be reached, or refuses the stream.
        """
        response, connected = self._client.open_stream(self._channels, self._after, self._last)
        self._socket = connected
        decoder = Decoder()
        try:
            # `close` may have come before there was a socket to shut down.
            while not self._closed.is_set() and (data := response.read1(READ_BYTES)):
                for event in decoder.feed(data):
                    self._publish(*event)
                self._after = decoder.resume_id.encode() or self._after
        except (OSError, ValueError, http.client.HTTPException) as error:
            _logger.debug("hub: lost the stream: %r", error)
        finally:
            if decoder.retry_ms is not None:
                self._retry_seconds = decoder.retry_ms / 1000
            self._socket = None
            response.close()
            connected.close()

    def _publish(
        self, event_type: str | None, data: str, id: str | None, retry_ms: int | None, last_event_id: str
    ) -> None:
        count = next(self._numbers)
        number = str(count)
        # Stored before the event can be read.
        self._fields[number] = EventFields(event_type, id, last_event_id)
        # The engine has evicted that event long ago, if it is still unread.
        self._fields.pop(str(count - EVENT_FIELDS_MAX), None)
        publish = functools.partial(self._engine.publish, self._name, data, id=number, retry_ms=retry_ms)
        try:
            try:
                publish(json=data[:1] in ("{", "["))
            except InvalidError:
                # JSON nested too deep for the engine was published as text.
                publish()
        except InvalidError as error:
            log_skipped(self._channels, error)
            self._fields.pop(number, None)


def _shut_down(connected: socket.socket) -> None:
    # Unlike closing it, this wakes the thread that reads the socket.
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
