"""A publisher as its users have it: a view that streams, and views that publish."""

import os

from flask import Flask, Response, request

from tidecast.sse import Publisher

app = Flask(__name__)
publisher = Publisher()
keep_alive_seconds = float(os.environ.get("SSE_KEEP_ALIVE_SECONDS", "15"))

if "PUBLISH_AT_IMPORT" in os.environ:
    # With `gunicorn --preload` in the process that forks the workers: this stays open there.
    of_the_parent = publisher.subscribe(properties="parent")


@app.get("/subscribe")
def subscribe():
    """Stream the channels that the address names."""
    stream = publisher.subscribe(
        request.args.getlist("channel") or "default channel",
        properties=request.args.get("name"),
        initial_data=request.args.getlist("initial"),
        when_full=request.args.get("when_full", "drop_oldest"),
        events_max=1,
        keep_alive_seconds=keep_alive_seconds,
    )
    return Response(stream, content_type="text/event-stream")


@app.get("/publish")
def publish():
    """Publish what the address says, to all or to one."""
    data, to = request.args["data"], request.args.get("to")
    channel = request.args.get("channel", "default channel")
    publisher.publish((lambda name: data if name == to else None) if to else data, channel)
    return ""


@app.get("/there")
def there():
    """The names of those who are there, without a word to them."""
    return " ".join(str(who.properties) for who in publisher.get_subscribers())
