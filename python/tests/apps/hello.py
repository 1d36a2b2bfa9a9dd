"""The quickstart of Flask-SSE's documentation, with what the tests ask for beside it."""

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
    """What people do who change each message on its way."""

    def messages(self, channel="sse"):
        """The messages of a channel, louder."""
        for message in super().messages(channel=channel):
            yield Message(message.data.upper(), type=message.type)


shouting = Shouting("shouting", __name__)
shouting.add_url_rule(rule="", endpoint="stream", view_func=shouting.stream)
app.register_blueprint(shouting, url_prefix="/shouting")

if "PUBLISH_AT_IMPORT" in os.environ:
    # With `gunicorn --preload` in the process that forks the workers: its engine is running by then.
    publish("from the parent", channel="preload")


@app.get("/hello")
def hello():
    """Publish what the address says; answers with how many streams of this worker listen."""
    args = request.args
    receivers = sse.publish(args.get("data", "hello"), type=args.get("type"), channel=args.get("channel", "sse"))
    return f"{receivers}"


@app.get("/flood")
def flood():
    """Publish more than a connection takes that nobody reads: 8 MiB."""
    for _ in range(16):
        sse.publish("x" * (512 * 1024))
    return ""


@app.get("/receivers")
def receivers():
    """How many streams of this worker listen, without a word to them."""
    from tidecast import backends
    from tidecast.settings import Settings

    return f"{backends.choose(Settings.of(app.config)).engine.receivers(request.args.get('channel', 'sse'))}"


@app.get("/threads")
def threads():
    """How many threads of Python this worker has."""
    return f"{threading.active_count()}"
