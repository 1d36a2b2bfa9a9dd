"""Flask-SSE on an engine in Rust: ``from tidecast.flask_sse import sse`` is the whole migration.

Every name that users of Flask-SSE import or replace is here, and so is ``send_event`` of the legacy extension of that
name.
"""

from .blueprint import ServerSentEventsBlueprint
from .legacy import send_event
from .message import Message
from .redis_py import ConnectionError, StrictRedis

__all__ = ["ConnectionError", "Message", "ServerSentEventsBlueprint", "StrictRedis", "send_event", "sse"]

#: The version of Flask-SSE whose interface this is.
__version__ = "1.0.0"

#: The blueprint, with its view at its root: ``app.register_blueprint(sse, url_prefix="/stream")``.
sse = ServerSentEventsBlueprint("sse", __name__)
sse.add_url_rule(rule="", endpoint="stream", view_func=sse.stream)
