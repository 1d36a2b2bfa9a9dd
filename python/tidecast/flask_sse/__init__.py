"""Flask-SSE, on an engine in Rust: ``from tidecast.flask_sse import sse`` is the whole migration.

Everything that Flask-SSE's users import or replace stands here under its name, and so does what the older extension of
that name has.
"""

from .blueprint import ServerSentEventsBlueprint
from .legacy import send_event
from .message import Message
from .redis_py import ConnectionError, StrictRedis

__all__ = ["ConnectionError", "Message", "ServerSentEventsBlueprint", "StrictRedis", "send_event", "sse"]

#: The version of Flask-SSE that this stands in for, as its users may ask.
__version__ = "1.0.0"

#: The blueprint with its view at its root: ``app.register_blueprint(sse, url_prefix="/stream")``.
sse = ServerSentEventsBlueprint("sse", __name__)
sse.add_url_rule(rule="", endpoint="stream", view_func=sse.stream)
