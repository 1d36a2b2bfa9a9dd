"""The quickstart of Flask-SSE's documentation, with further views for the tests."""

import os
import threading

from flask import Flask, request

from tidecast import publish
from tidecast.flask_sse import Message, ServerSentEventsBlueprint, sse

NUMBERS = ("SSE_KEEP_ALIVE_SECONDS", "SSE_MAX_STREAM_SECONDS", "SSE_STALL_SECONDS")
app = Flask(__name__)
HUB = ("SSE_HUB_URL", "SSE_HUB_KEY", "SSE_HUB_VIA")
app.config.update({name: os.environ[name] for name in ("REDIS_URL", *HUB, *NUMBERS) if name in os.environ})
app.register_blueprint(sse, url_prefix="/stream")


class Shouting(ServerSentEventsBlueprint):
    """A blueprint that changes each message on its way."""

    def messages(self, channel="sse"):
        """Yields the messages of a channel in capitals."""
        for message in super().messages(channel=channel):
            yield Message(message.data.upper(), type=message.type)


shouting = Shouting("shouting", __name__)
shouting.add_url_rule(rule="", endpoint="stream", view_func=shouting.stream)
app.register_blueprint(shouting, url_prefix="/shouting")

if "PUBLISH_AT_IMPORT" in os.environ:
    # With `gunicorn --preload` this runs in the arbiter, so its engine exists before the fork.
    publish("from the parent", channel="preload")


@app.get("/hello")
def hello():
    """Publishes the parameters of the address, and returns the number of streams of this worker."""
    args = request.args
    receivers = sse.publish(args.get("data", "hello"), type=args.get("type"), channel=args.get("channel", "sse"))
    return f"{receivers}"


@app.get("/flood")
def flood():
    """Publishes 8 MiB, more than an unread connection buffers."""
    for _ in range(16):
        sse.publish("x" * (512 * 1024))
    return ""


@app.get("/receivers")
def receivers():
    """Returns the number of streams of this worker, without publishing."""
    from tidecast import backends
    from tidecast.settings import Settings

    return f"{backends.choose(Settings.of(app.config)).engine.receivers(request.args.get('channel', 'sse'))}"


@app.get("/threads")
def threads():
    """Returns the number of Python threads of this worker."""
    return f"{threading.active_count()}"
