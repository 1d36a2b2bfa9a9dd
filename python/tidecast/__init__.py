"""Server-sent events on an engine in Rust.

:mod:`tidecast.flask_sse` is what Flask-SSE is; :func:`tidecast.publish` publishes from anywhere.
"""

import sys
from importlib import import_module

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
from .publishing import publish

__all__ = [
    "ClosedError",
    "InDoubtError",
    "InvalidError",
    "Published",
    "RefusedError",
    "TidecastError",
    "TooLargeError",
    "UnavailableError",
    "install_as_flask_sse",
    "publish",
]


def install_as_flask_sse() -> None:
    """Make ``import flask_sse`` mean :mod:`tidecast.flask_sse`, for code that can't be edited.

    To be called before anything imports it.

    :raises RuntimeError: Another ``flask_sse`` is imported already.
    """
    ours = import_module("tidecast.flask_sse")
    if sys.modules.setdefault("flask_sse", ours) is not ours:
        raise RuntimeError("another flask_sse is imported already: call tidecast.install_as_flask_sse() before it is")
