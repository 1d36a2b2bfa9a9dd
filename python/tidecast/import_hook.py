"""The names that code which can't be edited imports: ``flask_sse`` and ``sse``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def install_as_flask_sse() -> None:
    """Makes ``import flask_sse`` mean :mod:`tidecast.flask_sse`, and ``import sse`` :mod:`tidecast.sse`, for code that
    can't be edited.

    To be called before anything imports them, at the latest in ``sitecustomize``. A program of your own that is called
    ``sse`` stays what it is, whenever its folder comes on ``sys.path``: one that has neither a class ``Publisher`` nor
    a class ``Sse``.

    :raises RuntimeError: Another ``flask_sse`` is imported already.
    """
    ours = import_module("tidecast.flask_sse")
    if sys.modules.setdefault("flask_sse", ours) is not ours:
        raise RuntimeError("another flask_sse is imported already: call tidecast.install_as_flask_sse() before it is")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds ``sse`` when it is imported: ours, unless a program is called so.

    Not before: a server adds the folder of its program to the path after ``sitecustomize`` has run.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != "sse":
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        return spec if spec is not None and _is_a_program(spec) else ModuleSpec(fullname, _Loader())


class _Loader(Loader):
    """Loads :mod:`tidecast.sse`, which is one module under both names."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module("tidecast.sse")


def _is_a_program(spec: ModuleSpec) -> bool:
    # Flask-SSE's documentation has people call their program so. It is not imported to be seen: that may do anything.
    find_source = getattr(spec.loader, "get_source", None)
    source = find_source(spec.name) if find_source else None
    return source is not None and not re.search(r"^class (Publisher|Sse)\b", source, re.MULTILINE)
