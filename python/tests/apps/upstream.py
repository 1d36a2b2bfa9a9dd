"""An application with Flask-SSE itself."""

import os

from flask import Flask, request
from flask_sse import sse

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ["REDIS_URL"]
app.register_blueprint(sse, url_prefix="/stream")


@app.get("/hello")
def hello():
    """Publishes the parameters of the address."""
    args = request.args
    return f"{sse.publish({'says': args['data']}, type='greeting', channel=args.get('channel', 'sse'))}"
