"""A hub's stream, followed: connected again where it was, for as long as somebody reads.

A thread reads the hub's bytes (under gevent a greenlet) and hands the events to a channel of an engine in memory, of which
the reader has the stream. So a descriptor tells when there is something, what a slow reader leaves is bounded and told
as anywhere, and SIGTERM ends it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import os
import random
import socket
import threading
from typing import TYPE_CHECKING

from .._native import Decoder, Engine
from ..errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from .client import Client

#: The first pause before it connects again where the hub has named none, and the longest, in seconds.
PAUSE_SECONDS = (1.0, 30.0)

#: Most that is read at once, in bytes.
READ_BYTES = 64 * 1024

#: What stands before the types of events that nobody may publish, on their way through the engine.
MARK = "\x01"

_logger = logging.getLogger("tidecast")

_names = itertools.count()

#: As :meth:`tidecast._native.Stream.events` has it.
Told = tuple[str, "str | None", str, bool, "str | None", "int | None"]


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
        name = str(next(_names))
        self._stream = engine.subscribe([name])
        self._follower = _Follower(client, engine, name, channels, after, last)
        threading.Thread(target=self._follower.run, name="tidecast-hub", daemon=True).start()

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something new."""
        return self._stream.fileno()

    def events(self, at_most: int = 256) -> list[Told] | None:
        """Every event that is ready: channel, type, data, whether that is JSON, own id, reconnection time.

        The channel is told where there is one alone, else empty; and JSON is what is an object or an array, as a stream
        does not tell text from the rest.

        :return: Events; none for nothing; ``None`` at the end.
        :raises tidecast.errors.TidecastError: The hub refuses the stream.
        """
        told: list[Told] = []
        events = None if self._failure else self._stream.events(at_most)
        for _, event_type, data, is_json, id, retry_ms in events or ():
            if event_type == MARK:
                self._failure = self._follower.failure
            elif event_type == "stream-reset":
                told += [self._too_slow(name, data) for name in self._channels]
            else:
                event_type = event_type and event_type.removeprefix(MARK)
                told.append((self._channel(), event_type, data, is_json, id, retry_ms))
        # What was there before it is told first.
        if self._failure is not None and not told:
            self.close()
            raise self._failure
        if events is None:
            self.close()
            return None
        return told

    def close(self) -> None:
        """Leave the hub."""
        self._stream.close()
        self._follower.close()

    def __del__(self) -> None:
        if hasattr(self, "_follower"):
            self.close()

    def _channel(self) -> str:
        return self._channels[0] if len(self._channels) == 1 else ""

    def _too_slow(self, channel: str, data: str) -> Told:
        # Where it goes on is a position of the engine's here, and of no use to anybody.
        reason = json.loads(data)["reason"]
        return (channel, "stream-reset", json.dumps({"channel": channel, "reason": reason}), True, None, None)


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
            self._engine.publish(self._name, "", event_type=MARK)

    def close(self) -> None:
        """End it, from any thread; in the child of a fork it is the parent's, and goes on."""
        if self._pid != os.getpid():
            return
        self._closed.set()
        if (reading := self._socket) is not None:
            _hang_up(reading)

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
                self._after = decoder.last_event_id.encode() or self._after
        except (OSError, ValueError, http.client.HTTPException) as error:
            _logger.debug("hub: the stream was lost: %r", error)
        finally:
            if decoder.retry_ms is not None:
                self._retry_seconds = decoder.retry_ms / 1000
            self._socket = None
            response.close()
            through.close()

    def _hand_on(self, event_type: str | None, data: str, id: str | None, retry_ms: int | None) -> None:
        is_json = data[:1] in ("{", "[")
        try:
            if event_type in ("stream-reset", "stream-open"):
                event_type = MARK + event_type
            self._engine.publish(self._name, data, json=is_json, event_type=event_type, id=id, retry_ms=retry_ms)
        except InvalidError as error:
            _logger.warning("passed over an event of the hub: %s", error)


def _hang_up(reading: socket.socket) -> None:
    try:
        # Whoever waits for it is woken by its end; closing it would wake nobody.
        reading.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
