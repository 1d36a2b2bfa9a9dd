"""The measured Flask program: Flask-SSE's quickstart and a route that publishes."""

from importlib import import_module

from flask import Flask, request


def program(extension, **settings):
    """Returns the application on `flask_sse` or its replacement."""
    sse = import_module(extension).sse
    app = Flask(__name__)
    app.config.update(settings)
    app.register_blueprint(sse, url_prefix="/stream")

    @app.post("/publish")
    def publish():
        event = request.get_json()
        sse.publish(event["data"], channel=event["channel"])
        return "", 204

    return app
