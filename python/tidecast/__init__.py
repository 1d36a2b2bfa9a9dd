"""Server-sent events on an engine in Rust.

:mod:`tidecast.flask_sse` replaces Flask-SSE, and :mod:`tidecast.sse` replaces the module ``sse``.
:func:`tidecast.publish` publishes from anywhere; :func:`tidecast.subscribe` reads events anywhere.
"""

from . import apps, backends
from ._native import Published
from .errors import (
    ClosedError,
    InDoubtError,
    InvalidError,
    RefusedError,
    TidecastError,
    TooLargeError,
    UnavailableError,
)
from .import_hook import install_as_flask_sse
from .publishing import publish
from .received_event import Received
from .subscription import Subscription, subscribe

__all__ = [
    "ClosedError",
    "InDoubtError",
    "InvalidError",
    "Published",
    "Received",
    "RefusedError",
    "Subscription",
    "TidecastError",
    "TooLargeError",
    "UnavailableError",
    "install_as_flask_sse",
    "publish",
    "reset",
    "subscribe",
]


def reset() -> None:
    """Ends the streams and connections of this process, and forgets its events in memory and its applications.

    It is meant for tests, so that one leaves nothing to the next. The next call starts afresh. A
    :class:`tidecast.sse.Publisher` is not affected: close it by itself.
    """
    backends.reset()
    apps.reset()
