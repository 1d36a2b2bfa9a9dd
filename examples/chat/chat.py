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
    """The page."""
    return PAGE.read_text(encoding="utf-8")


@app.get("/subscribe/<path:name>")
def subscribe(name):
    """Stream what is said. A real application asks who it is, rather than believe a name."""
    welcome = json.dumps({"text": f"Welcome, {name}!"})
    stream = publisher.subscribe("chat", properties=name, initial_data=[welcome])
    tell_who_is_here()
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(stream, content_type="text/event-stream", headers=headers)


@app.post("/publish")
def publish():
    """Say something to everybody, or to one."""
    message = request.get_json()
    sender, to, text = message["from"], message.get("to", ""), message["text"]
    here = tell_who_is_here()
    said = json.dumps({"from": sender, "to": to, "text": text})
    if not to:
        publisher.publish(said, "chat")
    elif to in here:
        publisher.publish(lambda name: said if name in (sender, to) else None, "chat", type="private")
    else:
        abort(404)
    return "", 204


def tell_who_is_here():
    """Tell everybody the names of all, and answer with them."""
    names = sorted({who.properties for who in publisher.get_subscribers("chat")})
    publisher.publish(json.dumps(names), "chat", type="here")
    return names


if __name__ == "__main__":
    app.run(port=5000, threaded=True)
