"""The import names ``flask_sse`` and ``sse``, for code that cannot be edited."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def install_as_flask_sse() -> None:
    """Makes ``import flask_sse`` load :mod:`tidecast.flask_sse`, and ``import sse`` load :mod:`tidecast.sse`.

    Call it before anything imports these names, in ``sitecustomize`` at the latest. A program of your own with the name
    ``sse`` still loads, even if its folder is added to ``sys.path`` later. A module counts as such a program if it has
    neither a class ``Publisher`` nor a class ``Sse``.

    :raises RuntimeError: Another ``flask_sse`` is already imported.
    """
    ours = import_module("tidecast.flask_sse")
    if sys.modules.setdefault("flask_sse", ours) is not ours:
        raise RuntimeError("another flask_sse is already imported: call tidecast.install_as_flask_sse() first")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the module ``sse``: ours, unless a program has that name.

    The search runs at the import, because a server adds the program's folder to the path after ``sitecustomize``.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != "sse":
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        return spec if spec is not None and _is_program(spec) else ModuleSpec(fullname, _Loader())


class _Loader(Loader):
    """Loads :mod:`tidecast.sse`, so that both names are one module."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module("tidecast.sse")


def _is_program(spec: ModuleSpec) -> bool:
    # Flask-SSE's documentation names its example program `sse`. The source is only read, as importing it could have any
    # effect.
    find_source = getattr(spec.loader, "get_source", None)
    source = find_source(spec.name) if find_source else None
    return source is not None and not re.search(r"^class (Publisher|Sse)\b", source, re.MULTILINE)
