"""An application that guards its streams by a cookie."""

import os

from flask import Flask, abort, request

from tidecast.flask_sse import sse

SETTINGS = ("SSE_HUB_URL", "SSE_HUB_KEY", "SSE_HUB_PUBLIC_URL", "SSE_HUB_VIA", "SSE_HUB_TICKET_SECONDS")

app = Flask(__name__)
app.config.update({name: os.environ[name] for name in SETTINGS if name in os.environ})


@sse.before_request
def check_access():
    """Reserves a channel for the administrator."""
    if request.args.get("channel") == "analytics" and request.cookies.get("user") != "admin":
        abort(403)


@sse.after_request
def allow(response):
    """Allows requests with cookies from pages of one other origin."""
    if "CORS_ORIGIN" in os.environ:
        response.headers["Access-Control-Allow-Origin"] = os.environ["CORS_ORIGIN"]
        response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


app.register_blueprint(sse, url_prefix="/stream")


@app.get("/hello")
def hello():
    """Publishes the parameters of the address."""
    args = request.args
    return f"{sse.publish(args['data'], channel=args.get('channel', 'sse'))}"
