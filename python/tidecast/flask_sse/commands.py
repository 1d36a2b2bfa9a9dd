"""The commands ``flask sse publish`` and ``flask sse tail``.

Both use ``app.extensions["sse"]``, and so the application's overrides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from flask import Flask, current_app, json
from flask.cli import AppGroup, with_appcontext

from ..apps import HOW_TO_SHARE
from ..errors import TidecastError

if TYPE_CHECKING:
    from .blueprint import ServerSentEventsBlueprint


def add(app: Flask) -> None:
    """Adds the commands to an application. Its own commands of the same names stay."""
    present = app.cli.commands.get("sse")
    # A blueprint with commands of its own has added such a group.
    group = present if isinstance(present, click.Group) else AppGroup("sse", help="Server-sent events.")
    for command in (publish, tail):
        group.commands.setdefault(str(command.name), command)
    app.cli.commands.setdefault("sse", group)


@click.command()
@click.argument("channel")
@click.argument("data")
@click.option("--type", "event_type", metavar="NAME", help="The event's type. Default: `message`.")
@click.option("--id", "own_id", metavar="ID", help="The event's own id. Default: its position.")
@click.option("--json", "is_json", is_flag=True, help="DATA is JSON. Default: text.")
@with_appcontext
def publish(channel: str, data: str, event_type: str | None, own_id: str | None, is_json: bool) -> None:
    """Publishes DATA to CHANNEL."""
    try:
        value = json.loads(data) if is_json else data
    except ValueError as error:
        raise click.BadParameter(f"not valid JSON: {error}", param_hint="DATA") from error
    with _errors_without_traceback():
        _shared_blueprint().publish(value, type=event_type, id=own_id, channel=channel)


@click.command()
@click.argument("channel", default="sse")
@with_appcontext
def tail(channel: str) -> None:
    """Prints the events of CHANNEL as they arrive, one JSON object per line, until Ctrl+C."""
    with _errors_without_traceback(), contextlib.suppress(KeyboardInterrupt):
        for message in _shared_blueprint().messages(channel=channel):
            click.echo(json.dumps(message.to_dict()))


@contextlib.contextmanager
def _errors_without_traceback() -> Iterator[None]:
    """Reports invalid settings and refused events without a traceback."""
    try:
        yield
    except (TidecastError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _shared_blueprint() -> ServerSentEventsBlueprint:
    """Returns the application's blueprint.

    :raises click.ClickException: Its events reach no other process.
    """
    blueprint: ServerSentEventsBlueprint = current_app.extensions["sse"]
    if not blueprint.reaches_other_processes():
        raise click.ClickException(
            "this application keeps its events in memory, so a command, which is another process than the server, can "
            f"neither publish to its pages nor receive its events: {HOW_TO_SHARE}"
        )
    return blueprint
