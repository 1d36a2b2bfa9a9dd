"""The interface of a Flask extension: `init_app`, `app.extensions`, commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fakeredis
import pytest
from flask import Blueprint, Flask, abort, url_for
from support.redis_server import RedisServer
from support.server import APPS
from support.waiting import until

import tidecast.flask_sse
from tidecast.flask_sse import ServerSentEventsBlueprint


def status_of(app: Flask, path: str) -> int:
    with app.test_client().get(path, buffered=False) as response:
        return response.status_code


def test_init_app_registers_the_blueprint(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    blueprint.init_app(app)
    assert app.extensions["sse"] is blueprint
    assert status_of(app, "/stream") == 200
    with app.test_request_context():
        assert url_for("sse.stream", channel="users.social") == "/stream?channel=users.social"


def test_registering_twice_is_harmless_except_at_another_address(
    app: Flask, blueprint: ServerSentEventsBlueprint
) -> None:
    app.register_blueprint(blueprint, url_prefix="/events")
    blueprint.init_app(app)
    blueprint.init_app(app, url_prefix="/events")
    with pytest.raises(RuntimeError, match=r"registered at \['/events'\], so it cannot be at '/stream'"):
        blueprint.init_app(app, url_prefix="/stream")
    assert status_of(app, "/events") == 200 and status_of(app, "/stream") == 404


def test_a_factory_makes_several_applications(channel: str) -> None:
    from tidecast.flask_sse import sse

    def create_app() -> Flask:
        app = Flask("factory")
        sse.init_app(app, url_prefix="/events")
        return app

    one, other = create_app(), create_app()
    assert one.extensions["sse"] is other.extensions["sse"] is sse
    assert [status_of(app, f"/events?channel={channel}") for app in (one, other)] == [200, 200]


def test_a_blueprint_without_a_view_gets_one(app: Flask) -> None:
    made = ServerSentEventsBlueprint("sse", __name__)
    made.before_request(lambda: abort(403))
    made.init_app(app)
    # Its guard still runs first.
    assert status_of(app, "/stream") == 403


def test_the_first_blueprint_is_the_extension(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    outer = Blueprint("api", __name__, url_prefix="/api")
    outer.register_blueprint(blueprint, url_prefix="/stream")
    app.register_blueprint(outer)
    ServerSentEventsBlueprint("more", __name__).init_app(app, url_prefix="/more")
    assert app.extensions["sse"] is blueprint
    with app.test_request_context():
        assert (url_for("api.sse.stream"), url_for("more.stream")) == ("/api/stream", "/more")


def test_guards_of_an_outer_blueprint_run_before_the_view(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    outer = Blueprint("api", __name__, url_prefix="/api")
    outer.before_request(lambda: abort(401))
    outer.register_blueprint(blueprint, url_prefix="/stream")
    app.register_blueprint(outer)
    assert status_of(app, "/api/stream") == 401


def test_commands_in_memory_explain_why_they_fail(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    """They named SSE_REDIS_URL alone, which has no effect on an application if it is set in the environment."""
    blueprint.init_app(app)
    for command in (["sse", "publish", "sse", "x"], ["sse", "tail"]):
        done = app.test_cli_runner().invoke(args=command)
        assert done.exit_code == 1 and "another process" in done.output and 'app.config["SSE_REDIS_URL"]' in done.output


def test_commands_of_the_application_stay(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    blueprint.cli.command("publish")(lambda: print("own"))
    blueprint.init_app(app)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["sse", "publish"]).output == "own\n"
    assert "Prints the events" in runner.invoke(args=["sse", "tail", "--help"]).output


def test_commands_publish_through_a_custom_client(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fakeredis.FakeServer()

    class Faked(ServerSentEventsBlueprint):
        @property
        def redis(self) -> fakeredis.FakeStrictRedis:
            return fakeredis.FakeStrictRedis(server=server)

    Faked("sse", __name__).init_app(app)
    pubsub = fakeredis.FakeStrictRedis(server=server).pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    pubsub.get_message()
    arguments = ["sse", "publish", "news", '{"b": 1.5}', "--json", "--type", "t", "--id", "7"]
    assert app.test_cli_runner().invoke(args=arguments).exit_code == 0
    payload = pubsub.get_message(timeout=5)["data"]  # type: ignore[index]
    assert json.loads(payload) == {"data": {"b": 1.5}, "type": "t", "id": "7"}


def test_commands_report_invalid_arguments(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.config["SSE_REDIS_URL"] = "redis://127.0.0.1:1/?socket_timeout=0.2"
    tidecast.flask_sse.sse.init_app(app)
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["sse", "publish", "sse", "{", "--json"])
    assert refused.exit_code == 2 and "DATA: not valid JSON" in refused.output
    refused = runner.invoke(args=["sse", "publish", "sse", "x", "--type", "a\nb"])
    assert refused.exit_code == 1 and "event type has a control character" in refused.output
    refused = runner.invoke(args=["sse", "publish", "sse", "x"])
    assert refused.exit_code == 1 and "Error: " in refused.output and "redis" in refused.output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"SSE_HUB_URL": "http://127.0.0.1:1"}, "SSE_HUB_URL is set and SSE_HUB_KEY is not"),
        ({"SSE_REDIS_URL": "nowhere"}, "Redis URL does not begin with one of"),
    ],
)
def test_commands_report_invalid_settings_without_a_traceback(
    app: Flask, blueprint: ServerSentEventsBlueprint, setting: dict[str, str], message: str
) -> None:
    """Both commands ended with a traceback."""
    app.config.update(setting)
    blueprint.init_app(app)
    for command in (["publish", "sse", "x"], ["tail"]):
        done = app.test_cli_runner().invoke(args=["sse", *command])
        assert (done.exit_code, done.output[:7]) == (1, "Error: ") and message in done.output


def test_commands_report_a_rejected_key_without_a_traceback(
    on_hub: Flask, blueprint: ServerSentEventsBlueprint
) -> None:
    on_hub.config["SSE_HUB_KEY"] = "another-key"
    blueprint.init_app(on_hub)
    for command in (["publish", "sse", "x"], ["tail"]):
        done = on_hub.test_cli_runner().invoke(args=["sse", *command])
        assert (done.exit_code, done.output[:7]) == (1, "Error: ") and "SSE_HUB_KEY must be" in done.output


def test_commands_publish_and_tail(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {**os.environ, "REDIS_URL": redis_server.url, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "flask", "--app", "hello:app", "sse"]
    output_file = tmp_path / "output"
    with output_file.open("wb") as output:
        tail = subprocess.Popen([*command, "tail", "news"], cwd=APPS, env=environment, stdout=output)
    try:
        until(lambda: redis_server.client.pubsub_numsub("news")[0][1] == 1, "tail has subscribed")
        for arguments in (["text", "--type", "greeting"], ['{"a": 1}', "--json", "--id", "own"]):
            done = subprocess.run([*command, "publish", "news", *arguments], cwd=APPS, env=environment, timeout=60)
            assert done.returncode == 0
        until(lambda: output_file.read_text().count("\n") == 2, "both events were printed")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
    finally:
        tail.kill()
        tail.wait()
    text, value = map(json.loads, output_file.read_text().splitlines())
    assert text == {"data": "text", "type": "greeting"}
    assert value == {"data": {"a": 1}, "id": "own"}
