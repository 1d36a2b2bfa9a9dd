"""Fixtures that several files use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from support.hub import Hub
from support.redis_server import RedisServer
from support.server import OF_THE_MACHINE

from tidecast.flask_sse import ServerSentEventsBlueprint

_names = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def channel() -> str:
    """A channel that no other test has: the memory of this process is that of all tests."""
    return f"channel {next(_names)}"


@pytest.fixture
def blueprint() -> ServerSentEventsBlueprint:
    """A blueprint of the test's own, as handlers would stay on the module's."""
    made = ServerSentEventsBlueprint("sse", __name__)
    made.add_url_rule(rule="", endpoint="stream", view_func=made.stream)
    return made


@pytest.fixture
def app(blueprint: ServerSentEventsBlueprint) -> Flask:
    """An application with the blueprint at `/stream`, which is registered when it is first asked for."""
    made = Flask("tests")
    made.config["TESTING"] = True
    return made


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub of the test's own, with a key, whose streams need a ticket."""
    with Hub(tmp_path / "hub.log") as running:
        yield running


@pytest.fixture
def on_hub(app: Flask, hub: Hub) -> Flask:
    """The application on that hub."""
    app.config.update(hub.settings)
    return app
