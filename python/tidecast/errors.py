"""The exceptions of this package. Each is a :class:`TidecastError`."""


class TidecastError(Exception):
    """The base of this package's exceptions."""


class InvalidError(TidecastError, ValueError):
    """An argument is invalid and would be refused again: a line break in a type or an id, an empty channel name, a
    malformed Redis URL."""


class TooLargeError(InvalidError):
    """An event exceeds the limits: 1 MiB of data, 2 MiB as it is sent."""


class RefusedError(TidecastError):
    """The hub rejects ``SSE_HUB_KEY``."""


class UnavailableError(TidecastError):
    """Redis or the hub could not be reached, or a limit of this process is reached. Nothing was done; the same call may
    succeed later."""


class InDoubtError(UnavailableError):
    """The answer was lost, so the event may have been published all the same. Repeat such a publish with an
    ``idempotency_key``."""


class ClosedError(TidecastError):
    """The engine was closed."""
