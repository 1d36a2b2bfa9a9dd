"""Server-sent events on an engine in Rust.

:mod:`tidecast.flask_sse` is what Flask-SSE is, and :mod:`tidecast.sse` what was called ``sse``;
:func:`tidecast.publish` publishes from anywhere, and :func:`tidecast.subscribe` listens.
"""

import re
import sys
from importlib import import_module
from importlib.util import find_spec

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
from .received import Received
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
    "subscribe",
]


def install_as_flask_sse() -> None:
    """Make ``import flask_sse`` mean :mod:`tidecast.flask_sse`, and ``import sse`` :mod:`tidecast.sse`, for code that
    can't be edited.

    To be called before anything imports them. A program of one's own that is called ``sse`` stays what it is, imported
    already or not: one that has neither a class ``Publisher`` nor a class ``Sse``.

    :raises RuntimeError: Another ``flask_sse`` is imported already.
    """
    ours = import_module("tidecast.flask_sse")
    if sys.modules.setdefault("flask_sse", ours) is not ours:
        raise RuntimeError("another flask_sse is imported already: call tidecast.install_as_flask_sse() before it is")
    if not _is_a_program("sse"):
        sys.modules.setdefault("sse", import_module("tidecast.sse"))


def _is_a_program(name: str) -> bool:
    # Flask-SSE's documentation has people call their program so. It is not imported to be seen: that may do anything.
    if name in sys.modules:
        return True
    spec = find_spec(name)
    find_source = getattr(spec and spec.loader, "get_source", None)
    source = find_source(name) if find_source else None
    return source is not None and not re.search(r"^class (Publisher|Sse)\b", source, re.MULTILINE)
