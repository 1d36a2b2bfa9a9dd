"""An application with Flask-SSE that publishes and streams on the Redis in SSE_REDIS_URL.

The tests of the hub run it under gunicorn with gevent, on the same Redis as hubs. `/older` reads like the legacy
extension of the same name, which was never on a package index: an array of type and data, or an exception.
"""

import json
import os

from flask import Flask, Response, request
from flask_sse import sse

app = Flask(__name__)
app.config["SSE_REDIS_URL"] = os.environ["SSE_REDIS_URL"]
app.register_blueprint(sse, url_prefix="/stream")


@app.post("/publish")
def publish():
    """Publishes a JSON object, whose members are the arguments of `sse.publish`."""
    return {"receivers": sse.publish(**request.get_json())}


@app.get("/older")
def older():
    """Streams a channel whose payloads are arrays."""
    pubsub = sse.redis.pubsub(ignore_subscribe_messages=True)
    # Before the response, as in that extension, so that a client with the head is subscribed.
    pubsub.subscribe(request.args["channel"])

    def lines():
        yield "retry: 2000\n\n"
        for message in pubsub.listen():
            event, data = json.loads(message["data"])
            yield f"event: {event}\n"
            for line in data.splitlines():
                yield f"data: {line}\n"
            yield "\n"

    return Response(lines(), content_type="text/event-stream; charset=utf-8")
