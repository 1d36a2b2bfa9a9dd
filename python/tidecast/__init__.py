"""Server-sent events on an engine in Rust.

:mod:`tidecast.flask_sse` is what Flask-SSE is, and :mod:`tidecast.sse` what was called ``sse``;
:func:`tidecast.publish` publishes from anywhere, and :func:`tidecast.subscribe` listens.
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
    """Ends what this process has: streams, connections, the events in memory, and what is known of its applications.
    The next call begins anew.

    It is for tests: events and applications of one are not those of the next. A :class:`tidecast.sse.Publisher` is
    closed by itself.
    """
    backends.reset()
    apps.reset()
