"""What goes wrong. Every exception of this package is a :class:`TidecastError`."""


class TidecastError(Exception):
    """Something that this package could not do."""


class InvalidError(TidecastError, ValueError):
    """What was passed is at fault, and would be refused again: a line break in a type or an id, a channel without a
    name, a Redis URL that is none."""


class TooLargeError(InvalidError):
    """An event is larger than the limits allow: 1 MiB of data, 2 MiB on the wire."""


class RefusedError(TidecastError):
    """The hub does not take ``SSE_HUB_KEY``."""


class UnavailableError(TidecastError):
    """Redis, or the hub, could not be asked just now; nothing was done. The same call may pass later."""


class InDoubtError(UnavailableError):
    """As its parent, but the event may have been published all the same, as the answer was lost. Repeat such a publish
    under an ``idempotency_key``."""


class ClosedError(TidecastError):
    """The engine was closed."""
