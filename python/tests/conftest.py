"""Fixtures that several files use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from flask import Flask
from support.redis_server import RedisServer

from tidecast.flask_sse import ServerSentEventsBlueprint

_names = itertools.count()


@pytest.fixture(autouse=True)
def _no_redis_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSE_REDIS_URL", "REDIS_URL", "SSE_REDIS_HOST", "SSE_REDIS_PORT", "SSE_REDIS_DB"):
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
