"""The engine. It never waits: what may take time is begun, and ``fileno()`` tells when there is something to be had."""

from typing import ClassVar, final

__all__ = [
    "Decoder",
    "Engine",
    "Feed",
    "PendingPublish",
    "PendingSend",
    "Published",
    "Publisher",
    "Selector",
    "Stream",
    "check_channels",
    "commits_at_empty_line",
    "end_streams",
    "end_streams_on_signal",
    "hang_up",
    "peer_has_closed",
    "streams_are_ending",
    "unsent",
]

@final
class Decoder:
    """Reads an event stream, from its beginning."""

    def __new__(cls) -> Decoder: ...
    def feed(self, data: bytes) -> list[tuple[str | None, str, str | None, int | None, str]]:
        """Read on.

        :param data: What came next of the stream, of any length.
        :return: Every event that is complete with it: type, data, own id, reconnection time in milliseconds, and the id
            with which a client would go on behind it.
        :raises tidecast.errors.TooLargeError: An event grows past 16 MiB. The decoder is then of no more use.
        """

    @property
    def resume_id(self) -> str:
        """The id with which a client resumes; empty for none."""

    @property
    def retry_ms(self) -> int | None:
        """What the stream said last of when to come back, in milliseconds."""

@final
class Engine:
    """Channels, in this process' memory or on a Redis. Opens nothing before it is first used.

    After a fork the child has an engine of its own, with nothing in it; its parent's goes on untouched.
    """

    def __new__(cls, redis_url: str | None = None, *, plain_format: str = "object") -> Engine:
        """
        :param redis_url: A Redis, as redis-py reads a URL; ``None``, the default, is this process' memory.
        :param plain_format: ``object`` or ``array``: how an event is written for other programs on that Redis.
        :raises tidecast.errors.InvalidError: The URL can't be one.
        """

    @property
    def in_memory(self) -> bool:
        """Whether nothing is shared with other processes."""

    @property
    def warnings(self) -> list[str]:
        """What the URL says that means nothing here."""

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
        """Publish an event: in memory at once, on Redis begun.

        :param channel: 1 to 255 bytes without control characters.
        :param data: Text, or JSON text.
        :param json: Whether ``data`` is JSON. What is no JSON then goes as text.
        :param event_type: 1 to 255 bytes without control characters.
        :param id: 1 to 255 bytes without control characters, and no space at either end.
        :param retry_ms: How long a browser waits before it connects again, in milliseconds; up to a day.
        :param idempotency_key: The same key in the same channel within 5 minutes publishes nothing, and answers as the
            first time.
        :raises tidecast.errors.InvalidError: One of them can't be what it is to be.
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
    ) -> Stream:
        """Subscribe to 1 to 64 channels.

        :param channels: Their names.
        :param after: The bytes of a ``Last-Event-ID``, whatever they are. What can't be resumed is told in the stream.
        :param last: Without ``after``: begin with the newest so many of each channel, at most 1,000.
        :param retry_ms: What the first block says of reconnecting, in milliseconds; 0 is at once.
        :param open_event: Whether the stream begins with an event ``stream-open``.
        :param commits_at_empty_line: Whether the client is one for which the first block ends with an empty line; see
            :func:`commits_at_empty_line`.
        :raises tidecast.errors.InvalidError: A channel can't be one, or there are too many.
        :raises tidecast.errors.ClosedError: The engine was closed.
        """

    def receivers(self, channel: str) -> int:
        """How many streams of this process read a channel."""

    def close(self) -> None:
        """End it in this process, and every stream after what was published before. It begins anew when it is used."""

@final
class Published:
    """What came of a publish."""

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
        """What a hub has answered."""

    @property
    def channel(self) -> str:
        """The channel."""

    @property
    def id(self) -> str:
        """The event's id: its own, or its position."""

    @property
    def position(self) -> str:
        """Where it stands in its channel."""

    @property
    def receivers(self) -> int:
        """How many streams of this process read the channel at that moment."""

    @property
    def repeated(self) -> bool:
        """Whether the idempotency key was known, so that this is the answer of the first time."""

    @property
    def differs(self) -> bool:
        """Whether the idempotency key was known for another event. The event of this time is dropped."""

    @property
    def delayed(self) -> bool:
        """Whether the node that published it can't hear Redis at the moment. The event is accepted, and the streams of
        that node get it once the node hears Redis again."""

@final
class PendingPublish:
    """A publish on its way."""

    def fileno(self) -> int:
        """A descriptor that is readable once it has arrived or failed."""

    def outcome(self) -> Published | None:
        """What came of it; ``None`` while it is on its way. It is told once.

        :raises tidecast.errors.UnavailableError: Redis could not be asked.
        :raises tidecast.errors.InDoubtError: The same, and it may have been published.
        """

@final
class Stream:
    """A subscription, as bytes for a socket or as events; one or the other.

    Drain it until there is nothing, then wait for ``fileno()``. In the child of a fork it has ended.
    """

    KEEP_ALIVE: ClassVar[bytes]

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something new. It is made when it is first asked for."""

    def select(self, selector: Selector, number: int) -> None:
        """Tells a selector when there is something new, in the place of one that was told before.

        :param selector: It.
        :param number: By which the stream is known there.
        """

    def drain(self) -> bytes | None:
        """Everything that is ready, as it goes to a browser: first the first block. Up to 64 KiB, and what the last
        event has beyond.

        :return: Bytes; ``b""`` for nothing; ``None`` at the end, which is when the engine is closed or the process is
            told to end by SIGTERM, and everything before was drained.
        """

    def events(self, events_max: int = 256) -> list[tuple[str, str | None, str, bool, str | None, int | None]] | None:
        """Every event that is ready: channel, type, data, whether that is JSON, own id, reconnection time.

        :return: Events; none for nothing; ``None`` at the end.
        """

    def cursor(self) -> str | None:
        """Where it stands after what ``events`` has given: what to pass as ``after`` to go on there. ``None`` at the
        end."""

    def close(self) -> None:
        """Leave the channels. Whoever waits for ``fileno()`` is woken, and finds the end."""

@final
class Selector:
    """One descriptor for many streams, of which each has a number of the caller's choice."""

    def __new__(cls) -> Selector: ...
    def fileno(self) -> int:
        """A descriptor that becomes readable when one of them has something new."""

    def take(self) -> set[int]:
        """Returns the numbers of those that have, each once until it was drained."""

def check_channels(channels: list[str]) -> None:
    """Check that these can be the channels of a stream: 1 to 64 names of 1 to 255 bytes without control characters.

    :raises tidecast.errors.InvalidError: They can't.
    """

def commits_at_empty_line(cache_control: str | None, user_agent: str | None, fetch_mode: str | None) -> bool:
    """Returns whether a client commits an id that no event comes with at the empty line behind it, as a browser's own
    ``EventSource`` does: by the headers ``Cache-Control``, ``User-Agent`` and ``Sec-Fetch-Mode`` of its request."""

@final
class Publisher:
    """Subscribers that differ, in this process' memory. Subscribers and channels are numbers of the caller's choice.

    In the child of a fork every call raises :class:`tidecast.errors.UnavailableError`.
    """

    def __new__(cls) -> Publisher: ...
    def subscribe(
        self, channels: list[int], number: int, initial: list[str], *, events_max: int, bytes_max: int, when_full: str
    ) -> Feed:
        """
        :param channels: Where it is to be; twice where it is named twice.
        :param number: What it is to be known by.
        :param initial: Data of events that it is given first: at most 8 MiB.
        :param events_max: Most events that wait; 0 is taken as 1.
        :param bytes_max: Most bytes that wait, as they are sent. A single event may be larger.
        :param when_full: ``drop_oldest``, ``end`` or ``wait``.
        :raises ValueError: ``when_full`` is something else.
        :raises tidecast.errors.TooLargeError: The initial events are too large.
        """

    def publish(self, channels: list[int], data: str, *, event_type: str | None = None) -> int | PendingSend:
        """Publish to all who are in these channels.

        :param data: Text, of at most 1 MiB.
        :param event_type: 1 to 255 bytes without control characters.
        :return: How many copies; what it waits for where a subscriber has no room that is waited for.
        :raises tidecast.errors.InvalidError: One of them can't be what it is to be.
        """

    def publish_each(
        self, channels: list[int], made: list[tuple[int, str]], *, event_type: str | None = None
    ) -> int | PendingSend:
        """Publish what was made for each, in the order of :meth:`subscribers`. Who is not there any more gets nothing.

        :param made: Subscribers' numbers, and the text for each.
        :raises tidecast.errors.InvalidError: One of them can't be what it is to be; who came before has its event.
        """

    def subscribers(self, channels: list[int]) -> list[int]:
        """The numbers of those who are in these channels, in the order in which they came, channel by channel."""

    def unsubscribe(self, channels: list[int], numbers: set[int]) -> int:
        """Take those with these numbers out of these channels.

        :return: How many places that were.
        """

    def close(self) -> None:
        """End every feed after what was published before."""

@final
class PendingSend:
    """A publish that waits for room. It goes on only when it is asked, and letting go of it calls it off."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when it is worth asking."""

    def outcome(self) -> int | None:
        """Go on, and answer with how many copies that were; ``None`` while it waits. It is told once.

        :raises tidecast.errors.UnavailableError: It was begun in another process.
        """

@final
class Feed:
    """What a subscriber of a publisher reads. In the child of a fork it has ended."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something new, and stays so after the end."""

    def drain(self) -> bytes | None:
        """Everything that is ready, as it goes to a browser. Up to 64 KiB, and what the last event has beyond.

        :return: Bytes; ``b""`` for nothing; ``None`` at the end, after everything that was published before.
        """

    def waiting(self) -> int:
        """How many events wait to be drained."""

    def end(self) -> None:
        """End it after what it has."""

    def close(self) -> None:
        """Leave the channels, at once. Whoever waits for it is woken."""

def peer_has_closed(fileno: int) -> bool:
    """Whether the other end of a socket has closed it. Takes nothing from it, and never waits."""

def end_streams() -> None:
    """Ends the streams of this process, each after what was published before, and those that are opened later."""

def end_streams_on_signal(signal: int) -> bool:
    """Ends them at a signal too, after the handler that is there.

    :return: Whether there is one; if there is none, nothing changes.
    """

def streams_are_ending() -> bool:
    """Returns whether this process was told to go."""

def hang_up(fileno: int) -> None:
    """Ends a connection both ways, so that whoever reads or writes it finds its end. It is still to be closed."""

def unsent(fileno: int) -> int | None:
    """Returns how many bytes of a connection its other end has not taken; ``None`` if the system does not tell."""
