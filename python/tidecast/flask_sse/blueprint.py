"""Flask-SSE's blueprint, on any backend.

An application may override ``redis``, ``publish``, ``messages`` and ``stream``, or use a custom Redis client; then
these run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from random import randint
from time import monotonic
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    has_request_context,
    json,
    request,
    stream_with_context,
)

from .. import apps, backends
from ..errors import InvalidError, UnavailableError
from ..event import Event
from ..settings import Settings, redis_url
from ..skipped_events import DECODE_ERRORS, log_skipped
from ..wsgi.peer import Peer
from ..wsgi.stream_body import StreamBody
from . import commands, custom_client, redis_py
from .message import Message
from .query import read_query

#: The range of the reconnection time if this process can open no stream, in milliseconds.
FULL_RETRY_MS = (5_000, 30_000)


class ServerSentEventsBlueprint(Blueprint):
    """A :class:`flask.Blueprint` that publishes and streams server-sent events."""

    @property
    def redis(self) -> Any:
        """Creates a ``redis.StrictRedis`` for the application's Redis URL.

        The engine does not use it: it has its own connections.

        :raises KeyError: The application has no Redis URL.
        :raises ImportError: redis-py is not installed.
        """
        url = redis_url(current_app.config)
        if not url:
            raise KeyError("Must set a redis connection URL in app config.")
        return redis_py.strict_redis().from_url(url)

    def publish(self, data: Any, type: Any = None, id: Any = None, retry: Any = None, channel: Any = "sse") -> Any:
        """Publishes data as a server-sent event.

        :param data: Anything that the application's JSON provider can write. A string is sent as it is.
        :param type: The event's type. Default: none, which a page receives as ``message``.
        :param id: The event's own id. Default: its position.
        :param retry: How long a page waits before it reconnects, in milliseconds.
        :param channel: The channel whose subscribers receive the event.
        :return: How many streams of this process receive the event; with a custom Redis client, how many subscribers
            that Redis has.
        :raises TypeError: JSON cannot represent the data, or the type or the id is neither text nor a number.
        :raises ValueError: The type or the id has a control character, the JSON is nested deeper than 128 levels, or
            the channel's name is empty or malformed.
        :raises tidecast.errors.UnavailableError: Redis or the hub could not be reached.
        """
        event = Event.of(data, type, id, retry, json.dumps)
        if self._uses_custom_client():
            event.check()
            return custom_client.publish(self.redis, Message(data, type=type, id=id, retry=retry), channel)
        return current_backend(current_settings()).publish(apps.channel_name(channel), event).receivers

    def messages(self, channel: Any = "sse") -> Generator[Message, None, None]:
        """Yields the messages of a channel, from the first ``next`` on.

        As in Flask-SSE these are the published ones alone, without the ``stream-reset`` that reports missing events:
        for that use :func:`tidecast.subscribe`. In a request they end when its client disconnects, if the server
        reports that, else after ``SSE_MAX_STREAM_SECONDS``.

        :param channel: A channel, or a list of them.
        """
        if self._uses_custom_client():
            yield from custom_client.messages(self.redis, channel)
            return
        names = channel if isinstance(channel, (list, tuple, set, frozenset)) else [channel]
        chosen = current_settings()
        stream = current_backend(chosen).subscribe([apps.channel_name(name) for name in names])
        peer = Peer(request.environ if has_request_context() else None)
        seconds = _max_seconds(peer, chosen) if has_request_context() else 0
        ends_at = monotonic() + seconds if seconds else None
        try:
            while (events := stream.events()) is not None:
                for name, event_type, data, is_json, id, retry_ms in events:
                    # Programs written for Flask-SSE do not expect it.
                    if event_type == "stream-reset":
                        continue
                    try:
                        loaded = json.loads(data) if is_json else data
                    except DECODE_ERRORS as error:
                        log_skipped(name or names, error)
                        continue
                    yield Message(loaded, type=event_type, id=id, retry=retry_ms)
                left = None if ends_at is None else max(0, ends_at - monotonic())
                if left == 0 or (not events and not peer.wait(stream.fileno(), left)):
                    return
        finally:
            stream.close()

    def stream(self) -> Response:
        """Handles a request for a stream of the channel in ``?channel=``, or of ``sse``."""
        chosen = current_settings()
        query = read_query(request, chosen.multi_channel)
        if self._uses_custom_client() or self._overrides("messages"):
            if request.method == "HEAD":
                return response(())
            # Overridden messages may need the request. Their bytes are Flask-SSE's.
            channel = query.channels[0]
            peer = Peer(request.environ, chosen.stall_seconds)
            return response(stream_with_context(message_texts(self.messages(channel=channel), channel, peer)))

        # Outside of the `try`: an invalid setting is not the browser's fault.
        backend = current_backend(chosen)
        try:
            stream = backend.open(query, chosen.retry_ms)
        except InvalidError as error:
            abort(400, str(error))
        except UnavailableError as error:
            apps.warn_stream_refused(error)
            # An `EventSource` reconnects after a 200, and closes for good on any other status.
            return response([f"retry: {randint(*FULL_RETRY_MS)}\n"])
        if isinstance(stream, backends.Redirect):
            return current_app.response_class(stream.body, stream.status, stream.headers)
        if request.method == "HEAD":
            stream.close()
            return response(())
        peer = Peer(request.environ, chosen.stall_seconds)
        return response(
            StreamBody(
                stream,
                peer,
                keep_alive_seconds=chosen.keep_alive_seconds,
                max_seconds=_max_seconds(peer, chosen),
            )
        )

    def init_app(self, app: Flask, url_prefix: str | None = None, **options: Any) -> None:
        """Registers the blueprint with an application, as ``app.register_blueprint`` does. Does nothing if it is
        already registered.

        :param app: The application.
        :param url_prefix: The address of the view. Default: ``/stream``.
        :param options: Further options of ``app.register_blueprint``.
        :raises RuntimeError: The blueprint is already registered, at another address.
        """
        endpoint = f"{options.get('name', self.name)}.stream"
        if endpoint in app.view_functions:
            present = [rule.rule for rule in app.url_map.iter_rules(endpoint)]
            if url_prefix is not None and url_prefix not in present:
                raise RuntimeError(
                    f"{endpoint!r} is already registered at {present}, so it cannot be at {url_prefix!r}"
                )
            return
        prefix = "/stream" if url_prefix is None else url_prefix
        app.register_blueprint(self, url_prefix=prefix, **options)
        if endpoint not in app.view_functions:
            # A blueprint that the application has created without a view.
            app.add_url_rule(prefix, endpoint, self.stream)

    # Flask types `app` as the base class that it shares with Quart.
    def register(self, app: Flask, options: dict[str, Any]) -> None:  # type: ignore[override]
        """Registers the blueprint, and makes the application the default one of :func:`tidecast.publish`.

        The first blueprint becomes ``app.extensions["sse"]``, which ``flask sse`` uses.
        """
        super().register(app, options)
        apps.register(app)
        app.extensions.setdefault("sse", self)
        commands.add(app)

    def reaches_other_processes(self) -> bool:
        """Returns whether the current application's events reach pages that another process serves."""
        return self._uses_custom_client() or backends.choose(current_settings()).reaches_other_processes

    def _uses_custom_client(self) -> bool:
        is_custom = redis_py.is_custom(self, ServerSentEventsBlueprint.__dict__["redis"])
        if is_custom and current_app.config.get("SSE_HUB_URL"):
            apps.warn_hub_unused()
        return is_custom

    def _overrides(self, name: str) -> bool:
        bound = getattr(self, name)
        return getattr(bound, "__func__", None) is not ServerSentEventsBlueprint.__dict__[name]


def _max_seconds(peer: Peer, chosen: Settings) -> float:
    """Returns when a stream of this request ends by itself, in seconds; 0 for never."""
    # uWSGI reports its greenlets under a name of its own.
    if not request.environ.get("wsgi.multithread") and "uwsgi.core" not in request.environ:
        apps.warn_streams_take_turns(chosen.max_stream_seconds)
    elif peer.disconnect_may_be_unseen:
        apps.warn_disconnects_unseen(chosen.max_stream_seconds)
    else:
        return 0
    return chosen.max_stream_seconds


def message_texts(messages: Iterable[Message], channel: str, peer: Peer) -> Iterator[str]:
    """Yields messages as Flask-SSE writes them. Those that cannot be written are skipped."""
    # Most servers send the response's head with the first piece, even if that is empty.
    yield ""
    for message in messages:
        try:
            text = str(message)
        except DECODE_ERRORS as error:
            log_skipped(channel, error)
            continue
        peer.write_started()
        try:
            yield text
        finally:
            peer.write_finished()


def current_settings() -> Settings:
    """Returns the settings of the current application."""
    return apps.settings_of(current_app)


def current_backend(chosen: Settings) -> backends.Backend:
    """Returns the backend of these settings. Warns if the server runs processes that would not share it."""
    backend = backends.choose(chosen)
    if has_request_context() and request.environ.get("wsgi.multiprocess") and not backend.reaches_other_processes:
        apps.warn_memory_not_shared()
    return backend


def response(body: Any) -> Response:
    """Returns a response that proxies neither store nor change nor buffer."""
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return current_app.response_class(body, headers=headers, mimetype="text/event-stream")
