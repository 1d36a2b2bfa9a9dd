"""An application with a publisher."""

import os

from flask import Flask, Response, request

from tidecast.sse import Publisher

app = Flask(__name__)
publisher = Publisher()
keep_alive_seconds = float(os.environ.get("SSE_KEEP_ALIVE_SECONDS", "15"))

if "PUBLISH_AT_IMPORT" in os.environ:
    # With `gunicorn --preload` this runs in the arbiter, and stays open there.
    of_the_parent = publisher.subscribe(properties="parent")


@app.get("/subscribe")
def subscribe():
    """Streams the channels in the address."""
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
    """Publishes the parameters of the address, to all subscribers or to one."""
    data, to = request.args["data"], request.args.get("to")
    channel = request.args.get("channel", "default channel")
    publisher.publish((lambda name: data if name == to else None) if to else data, channel)
    return ""


@app.get("/subscribers")
def subscribers():
    """Returns the names of the subscribers, without publishing."""
    return " ".join(str(subscriber.properties) for subscriber in publisher.get_subscribers())
