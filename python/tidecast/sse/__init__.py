"""The module ``sse``: its ``Publisher``, and ``Sse`` of the package on PyPI.

``from tidecast.sse import Publisher`` is the whole migration.
"""

from .buffer import Sse
from .publisher import Publisher
from .subscriber import Subscriber

__all__ = ["Publisher", "Sse", "Subscriber"]
