"""Fixtures of several files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from support.hub import Hub
from support.redis_server import RedisServer
from support.server import INHERITED_SETTINGS

from tidecast.flask_sse import ServerSentEventsBlueprint
from tidecast.sse import Publisher

_names = itertools.count()


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in INHERITED_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def channel() -> str:
    """Returns a channel of this test alone, because all tests share the memory of this process."""
    return f"channel {next(_names)}"


@pytest.fixture
def blueprint() -> ServerSentEventsBlueprint:
    """Returns a blueprint of this test alone, because handlers would stay on the module's."""
    made = ServerSentEventsBlueprint("sse", __name__)
    made.add_url_rule(rule="", endpoint="stream", view_func=made.stream)
    return made


@pytest.fixture
def app(blueprint: ServerSentEventsBlueprint) -> Flask:
    """Returns an application on which the test registers the blueprint."""
    made = Flask("tests")
    made.config["TESTING"] = True
    return made


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """Starts a Redis for this test."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Starts a hub for this test, whose streams need a ticket or the key."""
    with Hub(tmp_path / "hub.log") as running:
        yield running


@pytest.fixture
def on_hub(app: Flask, hub: Hub) -> Flask:
    """Returns the application, set to publish to the hub."""
    app.config.update(hub.settings)
    return app


@pytest.fixture
def publisher() -> Publisher:
    """Returns a publisher without subscribers."""
    return Publisher()
