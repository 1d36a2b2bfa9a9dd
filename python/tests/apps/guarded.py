"""An application that asks who it is before it lets somebody listen, as most do: by a cookie."""

import os

from flask import Flask, abort, request

from tidecast.flask_sse import sse

SETTINGS = ("SSE_HUB_URL", "SSE_HUB_KEY", "SSE_HUB_PUBLIC_URL", "SSE_HUB_VIA", "SSE_HUB_TICKET_SECONDS")

app = Flask(__name__)
app.config.update({name: os.environ[name] for name in SETTINGS if name in os.environ})


@sse.before_request
def check_access():
    """Analytics are for the administrator."""
    if request.args.get("channel") == "analytics" and request.cookies.get("user") != "admin":
        abort(403)


@sse.after_request
def allow(response):
    """Let pages of one other origin ask, with their cookies."""
    if "CORS_ORIGIN" in os.environ:
        response.headers["Access-Control-Allow-Origin"] = os.environ["CORS_ORIGIN"]
        response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


app.register_blueprint(sse, url_prefix="/stream")


@app.get("/hello")
def hello():
    """Publish what the address says."""
    args = request.args
    return f"{sse.publish(args['data'], channel=args.get('channel', 'sse'))}"
