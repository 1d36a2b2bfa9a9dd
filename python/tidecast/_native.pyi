"""The engine. No call waits: an operation that may take time is started, and ``fileno()`` becomes readable when it has
a result."""

from typing import ClassVar, final

__all__ = [
    "Decoder",
    "Engine",
    "EngineStream",
    "Feed",
    "PendingPublish",
    "PendingSend",
    "Published",
    "Publisher",
    "Selector",
    "check_channels",
    "commits_at_empty_line",
    "end_streams",
    "end_streams_on_signal",
    "hang_up",
    "peer_has_closed",
    "streams_are_ending",
    "unsent_bytes",
]

@final
class Decoder:
    """A decoder of an event stream, from its beginning."""

    def __new__(cls) -> Decoder: ...
    def feed(self, data: bytes) -> list[tuple[str | None, str, str | None, int | None, str]]:
        """Decodes the next bytes of the stream.

        :param data: Any number of bytes.
        :return: The events that they complete: type, data, own id, reconnection time in milliseconds, and the id that
            resumes after the event.
        :raises tidecast.errors.TooLargeError: An event exceeds 16 MiB. The decoder can no longer be used.
        """

    @property
    def resume_id(self) -> str:
        """Returns the id with which a client resumes; empty for none."""

    @property
    def retry_ms(self) -> int | None:
        """Returns the last reconnection time of the stream, in milliseconds; ``None`` for none."""

@final
class Engine:
    """Channels in the memory of this process, or on a Redis. Nothing is opened before the first use.

    After a fork the child has an empty engine of its own. The parent's is not affected.
    """

    def __new__(cls, redis_url: str | None = None, *, plain_format: str = "object") -> Engine:
        """Creates an engine.

        :param redis_url: A URL as redis-py reads it. ``None``, the default, means the memory of this process.
        :param plain_format: ``object`` or ``array``: how events are written for other programs on that Redis.
        :raises tidecast.errors.InvalidError: The URL is malformed.
        """

    @property
    def warnings(self) -> list[str]:
        """Returns a warning for each part of the URL that has no effect."""

    def publish(
        self,
        channel: str,
        data: str,
        *,
        json: bool = False,
        event_type: str | None = None,
        id: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> Published | PendingPublish:
        """Publishes an event: at once in memory, in the background on Redis.

        :param channel: 1 to 255 bytes without control characters.
        :param data: Text, or JSON text.
        :param json: Whether ``data`` is JSON. Invalid JSON is sent as text.
        :param event_type: 1 to 255 bytes without control characters.
        :param id: 1 to 255 bytes without control characters, and without a space at either end.
        :param retry_ms: How long a browser waits before it reconnects, in milliseconds, from 0 to a day.
        :param idempotency_key: If the key was used in the channel within 5 minutes, nothing is published, and the first
            result is returned.
        :raises tidecast.errors.InvalidError: An argument is invalid.
        :raises tidecast.errors.ClosedError: The engine was closed.
        """

    def subscribe(
        self,
        channels: list[str],
        *,
        after: bytes | None = None,
        last: int | None = None,
        retry_ms: int = 3000,
        open_event: bool = False,
        commits_at_empty_line: bool = True,
    ) -> EngineStream:
        """Subscribes to 1 to 64 channels.

        :param channels: Their names.
        :param after: The bytes of a ``Last-Event-ID``. If the stream cannot resume from it, it sends ``stream-reset``.
        :param last: Without ``after``: begin with this many of the newest events of each channel, at most 1,000.
        :param retry_ms: The reconnection time in the first block, in milliseconds; 0 for an immediate reconnect.
        :param open_event: Whether the stream begins with an event ``stream-open``.
        :param commits_at_empty_line: Whether the first block ends with an empty line; see
            :func:`commits_at_empty_line`.
        :raises tidecast.errors.InvalidError: A channel is invalid, or there are too many.
        :raises tidecast.errors.UnavailableError: This process reads as many channels without events as it may.
        :raises tidecast.errors.ClosedError: The engine was closed.
        """

    def receivers(self, channel: str) -> int:
        """Returns how many streams of this process read a channel."""

    def close(self) -> None:
        """Closes the engine in this process. Streams end after the events published before. The next use reopens it."""

@final
class Published:
    """The result of a publish."""

    def __new__(
        cls,
        channel: str,
        id: str,
        position: str,
        receivers: int,
        *,
        repeated: bool = False,
        differs: bool = False,
        delayed: bool = False,
    ) -> Published:
        """Creates the result of a publish to a hub."""

    @property
    def channel(self) -> str:
        """Returns the channel."""

    @property
    def id(self) -> str:
        """Returns the event's id: its own, or its position."""

    @property
    def position(self) -> str:
        """Returns the event's position in its channel."""

    @property
    def receivers(self) -> int:
        """Returns how many streams of the publishing process read the channel at that moment."""

    @property
    def repeated(self) -> bool:
        """Returns whether the idempotency key was known, so that this is the first result again."""

    @property
    def differs(self) -> bool:
        """Returns whether the idempotency key was known with another event. This event was dropped."""

    @property
    def delayed(self) -> bool:
        """Returns whether the publishing node cannot hear Redis at the moment. The event is accepted, and the streams
        of that node receive it once the node hears Redis again."""

@final
class PendingPublish:
    """A publish that runs in the background."""

    def fileno(self) -> int:
        """Returns a descriptor that is readable once the publish is done."""

    def outcome(self) -> Published | None:
        """Returns the result, once; ``None`` while the publish runs.

        :raises tidecast.errors.UnavailableError: Redis could not be reached.
        :raises tidecast.errors.InDoubtError: The answer was lost, so the event may have been published.
        """

@final
class EngineStream:
    """A subscription, read as bytes for a socket or as events, but not both.

    Drain it until nothing is ready, then wait for ``fileno()``. In the child of a fork it has ended.
    """

    KEEP_ALIVE: ClassVar[bytes]

    def fileno(self) -> int:
        """Returns a descriptor that is readable when events are ready. It is created at the first call."""

    def select(self, selector: Selector, number: int) -> None:
        """Registers with a selector, in place of an earlier one.

        :param selector: The selector.
        :param number: The number of the stream in the selector.
        """

    def drain(self) -> bytes | None:
        """Returns the bytes that are ready for a browser, beginning with the first block. These are up to 64 KiB, and
        the rest of the last event.

        :return: ``b""`` if nothing is ready. ``None`` at the end: once the engine is closed or the process was told to
            stop, and all events published before were drained.
        """

    def events(self, events_max: int = 256) -> list[tuple[str, str | None, str, bool, str | None, int | None]] | None:
        """Returns the events that are ready: channel, type, data, whether the data is JSON, own id, reconnection time
        in milliseconds.

        :return: An empty list if none is ready; ``None`` at the end.
        """

    def cursor(self) -> str | None:
        """Returns the ``after`` that resumes after the events returned so far; ``None`` at the end."""

    def close(self) -> None:
        """Ends the stream, and wakes the thread that waits for ``fileno()``."""

@final
class Selector:
    """A descriptor for many streams, each of which has a number that the caller chooses."""

    def __new__(cls) -> Selector: ...
    def fileno(self) -> int:
        """Returns a descriptor that is readable when a stream has events."""

    def take_ready(self) -> set[int]:
        """Removes and returns the numbers of the streams that have events. Each is added again only after its stream
        was drained."""

def check_channels(channels: list[str]) -> None:
    """Checks that a stream can have these channels: 1 to 64 names of 1 to 255 bytes without control characters.

    :raises tidecast.errors.InvalidError: It cannot.
    """

def commits_at_empty_line(cache_control: str | None, user_agent: str | None, fetch_mode: str | None) -> bool:
    """Returns whether a client needs an empty line to commit an id that comes without an event, as a browser's own
    ``EventSource`` does. The arguments are the headers ``Cache-Control``, ``User-Agent`` and ``Sec-Fetch-Mode``."""

@final
class Publisher:
    """A publisher in the memory of this process. Subscribers and channels are numbers that the caller chooses.

    In the child of a fork every call raises :class:`tidecast.errors.UnavailableError`.
    """

    def __new__(cls) -> Publisher: ...
    def subscribe(
        self, channels: list[int], number: int, initial: list[str], *, events_max: int, bytes_max: int, when_full: str
    ) -> Feed:
        """Subscribes to channels.

        :param channels: The channels. A subscriber of a channel that is named twice receives its events twice.
        :param number: The subscriber's number.
        :param initial: Data of events that the subscriber receives first: at most 8 MiB.
        :param events_max: Most events that wait; 0 counts as 1.
        :param bytes_max: Most bytes that wait, as they are sent. A single event may be larger.
        :param when_full: ``drop_oldest``, ``end`` or ``wait``.
        :raises ValueError: ``when_full`` is invalid.
        :raises tidecast.errors.TooLargeError: The initial events are too large.
        """

    def publish(self, channels: list[int], data: str, *, event_type: str | None = None) -> int | PendingSend:
        """Publishes to the subscribers of these channels.

        :param data: Text, of at most 1 MiB.
        :param event_type: 1 to 255 bytes without control characters.
        :return: The number of copies; a pending send if a subscriber with ``when_full="wait"`` is full.
        :raises tidecast.errors.InvalidError: The data or the type is invalid.
        """

    def publish_each(
        self, channels: list[int], made: list[tuple[int, str]], *, event_type: str | None = None
    ) -> int | PendingSend:
        """Publishes a text for each subscriber, in the order of :meth:`subscribers`. Subscribers that have left are
        skipped.

        :param made: The subscribers' numbers and the texts.
        :raises tidecast.errors.InvalidError: A text or the type is invalid. The subscribers before have their event.
        """

    def subscribers(self, channels: list[int]) -> list[int]:
        """Returns the numbers of the subscribers of these channels, channel by channel in the order of subscription."""

    def unsubscribe(self, channels: list[int], numbers: set[int]) -> int:
        """Removes the subscribers with these numbers from these channels.

        :return: How many subscriptions were removed.
        """

    def close(self) -> None:
        """Ends every feed after the events published before."""

@final
class PendingSend:
    """A publish that waits for room. Only a call of ``outcome`` retries it; dropping it cancels it."""

    def fileno(self) -> int:
        """Returns a descriptor that is readable when the outcome may be ready."""

    def outcome(self) -> int | None:
        """Retries the publish. Returns the number of copies, once; ``None`` while there is no room.

        :raises tidecast.errors.UnavailableError: The publish was started in another process.
        """

@final
class Feed:
    """The stream of a publisher's subscriber. In the child of a fork it has ended."""

    def fileno(self) -> int:
        """Returns a descriptor that is readable when events are ready, and after the end."""

    def drain(self) -> bytes | None:
        """Returns the bytes that are ready for a browser: up to 64 KiB, and the rest of the last event.

        :return: ``b""`` if nothing is ready; ``None`` at the end, after all events published before.
        """

    def waiting(self) -> int:
        """Returns how many events wait to be drained."""

    def end(self) -> None:
        """Ends the feed after the events that wait."""

    def close(self) -> None:
        """Leaves the channels at once, and wakes the thread that waits for ``fileno()``."""

def peer_has_closed(fileno: int) -> bool:
    """Returns whether the other end of a socket has closed it. Reads no byte, and never waits."""

def end_streams() -> None:
    """Ends the streams of this process, each after the events published before, and streams that are opened later."""

def end_streams_on_signal(signal: int) -> bool:
    """Ends the streams also at a signal, after its present handler has run.

    :return: Whether the signal has a handler; if not, nothing changes.
    """

def streams_are_ending() -> bool:
    """Returns whether the streams of this process were told to end."""

def hang_up(fileno: int) -> None:
    """Shuts a socket down both ways, so that reading and writing it fail. The caller still closes it."""

def unsent_bytes(fileno: int) -> int | None:
    """Returns how many bytes of a socket its other end has not received; ``None`` if the system does not tell."""
