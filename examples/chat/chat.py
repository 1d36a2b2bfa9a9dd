"""The chat of this folder on Flask, with the same page.

    pip install ../../python
    python chat.py

Open http://127.0.0.1:5000 in two tabs and join under two names.
"""

import json
from pathlib import Path

from flask import Flask, Response, abort, request
from tidecast.sse import Publisher

PAGE = Path(__file__).parent / "src" / "index.html"

app = Flask(__name__)
publisher = Publisher()


@app.get("/")
def index():
    """Returns the page."""
    return PAGE.read_text(encoding="utf-8")


@app.get("/subscribe/<path:name>")
def subscribe(name):
    """Streams the messages. A real application authenticates the user."""
    welcome = json.dumps({"text": f"Welcome, {name}!"})
    stream = publisher.subscribe("chat", properties=name, initial_data=[welcome])
    publish_names()
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(stream, content_type="text/event-stream", headers=headers)


@app.post("/publish")
def publish():
    """Publishes a message to all users, or to one."""
    message = request.get_json()
    sender, to, text = message["from"], message.get("to", ""), message["text"]
    names = publish_names()
    data = json.dumps({"from": sender, "to": to, "text": text})
    if not to:
        publisher.publish(data, "chat")
    elif to in names:
        publisher.publish(lambda name: data if name in (sender, to) else None, "chat", type="private")
    else:
        abort(404)
    return "", 204


def publish_names():
    """Publishes the names of all users, and returns them."""
    names = sorted({subscriber.properties for subscriber in publisher.get_subscribers("chat")})
    publisher.publish(json.dumps(names), "chat", type="here")
    return names


if __name__ == "__main__":
    app.run(port=5000, threaded=True)
