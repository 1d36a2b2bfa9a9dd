"""Publishing without an application context, and the import names for code that cannot be edited."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from flask import Flask

import tidecast
from tidecast.flask_sse import ServerSentEventsBlueprint


@pytest.fixture(autouse=True)
def _no_applications_of_other_tests() -> None:
    tidecast.reset()


def python(code: str, **environment: str) -> str:
    """Runs a program, and returns its output."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_needs_neither_an_app_context_nor_flask() -> None:
    code = "import sys, tidecast; print(tidecast.publish('x').position, 'flask' in sys.modules)"
    assert python(code).strip().endswith(".1 False")


def test_it_reaches_the_streams_of_this_process(app: Flask, blueprint: ServerSentEventsBlueprint, channel: str) -> None:
    app.register_blueprint(blueprint, url_prefix="/stream")
    response = app.test_client().get(f"/stream?channel={channel}", buffered=False)
    assert tidecast.publish({"a": 1}, channel=channel).receivers == 1
    response.close()


def test_the_current_application_takes_precedence(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    app.register_blueprint(blueprint, url_prefix="/stream")
    # Settings are read on use, so this one applies though it comes after the registration.
    app.config["REDIS_URL"] = "http://no.redis"
    with pytest.raises(ValueError, match="Redis URL does not begin with"):
        tidecast.publish("x")
    other = Flask("other")
    other.register_blueprint(blueprint, url_prefix="/stream")
    # The application that was registered last applies.
    assert tidecast.publish("x", channel="other").receivers == 0
    with app.app_context(), pytest.raises(ValueError, match="Redis URL does not begin with"):
        tidecast.publish("x")


def test_the_second_application_of_a_factory_applies_at_once(blueprint: ServerSentEventsBlueprint) -> None:
    """A publish from a thread was refused until the garbage collector had removed the first application."""

    def create_app(url: str) -> Flask:
        app = Flask("factory")
        app.config["REDIS_URL"] = url
        blueprint.init_app(app)
        return app

    made: list[Flask] = []
    refused: list[ValueError] = []

    def publish() -> None:
        try:
            tidecast.publish("x")
        except ValueError as error:
            refused.append(error)

    for url in ("first://redis", "second://redis"):
        made.append(create_app(url))
        thread = threading.Thread(target=publish)
        thread.start()
        thread.join()
    assert len(refused) == 2 and all("Redis URL does not begin with" in str(error) for error in refused)


def test_reset_forgets_events_streams_and_applications(app: Flask, blueprint: ServerSentEventsBlueprint) -> None:
    """A test left its events in memory and its application to the next."""
    app.config["REDIS_URL"] = "http://no.redis"
    blueprint.init_app(app)
    tidecast.reset()
    with tidecast.subscribe("old") as subscription:
        tidecast.publish("one", channel="old")
        tidecast.reset()
        assert [event.data for event in subscription] == ["one"]
    with tidecast.subscribe("old", last=10) as subscription:
        tidecast.publish("two", channel="old")
        assert next(subscription).data == "two"


def test_without_an_application_the_environment_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_REDIS_URL", "http://no.redis")
    with pytest.raises(ValueError, match="Redis URL does not begin with"):
        tidecast.publish("x")


@pytest.mark.parametrize("name", [None, b"\xff", ["a"], True, ""])
def test_an_invalid_channel_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="channel"):
        tidecast.publish("x", channel=name)  # type: ignore[arg-type]


def test_a_number_is_a_channel_as_in_flask_sse() -> None:
    assert tidecast.publish("x", channel=5).channel == "5"  # type: ignore[arg-type]
    assert tidecast.publish("x", channel=b"caf\xc3\xa9").channel == "café"  # type: ignore[arg-type]


def test_an_idempotency_key_publishes_once() -> None:
    first = tidecast.publish("x", channel="once", idempotency_key="key")
    assert tidecast.publish("x", channel="once", idempotency_key="key").repeated
    assert not first.repeated


def test_the_old_names_import_this_package() -> None:
    code = """
import tidecast
tidecast.install_as_flask_sse()
tidecast.install_as_flask_sse()
from flask_sse import sse, Message, ServerSentEventsBlueprint, send_event, __version__
from sse import Publisher, Subscriber, Sse
print(type(sse).__module__, Publisher.__module__, __version__)
"""
    assert python(code).split() == ["tidecast.flask_sse.blueprint", "tidecast.sse.publisher", "1.0.0"]


def test_a_loaded_program_named_sse_stays() -> None:
    """Flask-SSE's documentation names its program so."""
    code = """
import sys, types
program = sys.modules["sse"] = types.ModuleType("sse")
import tidecast
tidecast.install_as_flask_sse()
import sse
print(sse is program)
"""
    assert python(code).strip() == "True"


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ("app = 1\n", False),
        ("class Publisher(object):\n    pass\n", True),
        ("class Sse:\n    pass\n", True),
        (None, True),
    ],
)
def test_a_program_named_sse_can_be_imported_later(tmp_path: Path, text: str | None, is_ours: bool) -> None:
    """`from sse import app` failed after the call, because the name was taken. A module that ours replaces is
    hidden."""
    if text is None:
        # The quickstart's virtual environment has this name.
        (tmp_path / "sse").mkdir()
    else:
        (tmp_path / "sse.py").write_text(text)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import tidecast
tidecast.install_as_flask_sse()
import sse
print(sse.__name__)
"""
    assert python(code).strip() == ("tidecast.sse" if is_ours else "sse")


@pytest.mark.parametrize("before", [True, False], ids=["on the path before", "on the path later"])
def test_a_program_named_sse_is_found_even_if_the_path_changes_later(tmp_path: Path, before: bool) -> None:
    """`install_as_flask_sse` in `sitecustomize` hid it, because gunicorn and `flask` extend the path later."""
    (tmp_path / "sitecustomize.py").write_text("import tidecast\n\ntidecast.install_as_flask_sse()\n")
    program = tmp_path / "program"
    program.mkdir()
    (program / "sse.py").write_text("from flask_sse import sse\n\napp = type(sse).__module__\n")
    later = "" if before else f"import sys; sys.path.insert(0, {str(program)!r}); "
    path = [str(tmp_path), *([str(program)] if before else [])]
    code = f"{later}from importlib import import_module; print(import_module('sse').app)"
    assert python(code, PYTHONPATH=":".join(path)).strip() == "tidecast.flask_sse.blueprint"
    # Without such a program the name is ours.
    code = "import sse, tidecast.sse; print(sse is tidecast.sse, sse.__spec__.name)"
    assert python(code, PYTHONPATH=str(tmp_path)).split() == ["True", "tidecast.sse"]


def test_an_already_imported_flask_sse_is_reported() -> None:
    code = """
import sys, types
sys.modules["flask_sse"] = types.ModuleType("flask_sse")
import tidecast
try:
    tidecast.install_as_flask_sse()
except RuntimeError as error:
    print(error)
"""
    assert "is already imported" in python(code)
