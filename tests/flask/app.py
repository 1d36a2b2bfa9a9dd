"""What users of Flask-SSE have: a program that publishes and streams, on the Redis that SSE_REDIS_URL names.

The tests of the hub run it under gunicorn with gevent, on the same Redis as hubs. `/older` reads as the older extension
of that name does, which was never on a package index: two elements of JSON or an exception, and no more.
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
    """Publishes what a JSON object says, under the names that `sse.publish` has for it."""
    return {"receivers": sse.publish(**request.get_json())}


@app.get("/older")
def older():
    """Streams a channel whose payloads are arrays."""
    pubsub = sse.redis.pubsub(ignore_subscribe_messages=True)
    # Before the answer, as that extension does: whoever has the head is subscribed.
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
