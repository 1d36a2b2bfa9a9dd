"""The same program on Flask-SSE itself, as its users have it."""

import os

from flask import Flask, request
from flask_sse import sse

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ["REDIS_URL"]
app.register_blueprint(sse, url_prefix="/stream")


@app.get("/hello")
def hello():
    """Publish what the address says."""
    args = request.args
    return f"{sse.publish({'says': args['data']}, type='greeting', channel=args.get('channel', 'sse'))}"
