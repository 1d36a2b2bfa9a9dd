"""The blueprint: what Flask-SSE's is, on whatever carries the events.

``redis``, ``messages`` and ``stream`` may be overridden, and then are what runs; so is a client of the application's
own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
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
from ..errors import InvalidError
from ..event import Event
from ..settings import Settings, redis_url
from ..skipped_events import DECODE_ERRORS, log_skipped
from ..wsgi.peer import Peer
from ..wsgi.stream_body import StreamBody
from . import commands, custom_client, redis_py
from .message import Message
from .query import Query


class ServerSentEventsBlueprint(Blueprint):
    """A :class:`flask.Blueprint` that publishes, subscribes to, and streams server-sent events."""

    @property
    def redis(self) -> Any:
        """A ``redis.StrictRedis`` on the URL that the application has; a new one at each access.

        The engine does not need it: it speaks to Redis by itself.

        :raises KeyError: The application has none.
        :raises ImportError: redis-py is not installed.
        """
        url = redis_url(current_app.config)
        if not url:
            raise KeyError("Must set a redis connection URL in app config.")
        return redis_py.strict_redis().from_url(url)

    def publish(self, data: Any, type: Any = None, id: Any = None, retry: Any = None, channel: Any = "sse") -> Any:
        """Publish data as a server-sent event.

        :param data: Anything that the application's JSON provider can write; a string is sent as it is.
        :param type: The event's type. Default: none, which a page gets as ``message``.
        :param id: The event's own id. Default: its position.
        :param retry: How long a page is to wait before it connects again, in milliseconds.
        :param channel: Who gets it: those who listen to this channel.
        :return: How many streams of this process listen; through a client of the application's own, how many on that
            Redis.
        :raises TypeError: The data can't be written as JSON, or the type or the id is neither text nor a number.
        :raises ValueError: A control character in a type or an id, JSON nested deeper than 128 levels, a channel
            without a name.
        :raises tidecast.errors.UnavailableError: Redis could not be asked.
        """
        message = Message(data, type=type, id=id, retry=retry)
        event = Event.of(data, type, id, retry, json.dumps)
        if self._uses_custom_client():
            event.check()
            return custom_client.publish(self.redis, message, channel)
        backend = current_backend(current_settings())
        return backend.publish(apps.channel_name(channel), event).receivers

    def messages(self, channel: Any = "sse") -> Generator[Message, None, None]:
        """The messages of a channel, from the first ``next`` on: what was published, as Flask-SSE has it, and so no
        ``stream-reset``, by which :func:`tidecast.subscribe` tells that events are missing. In a request they end when
        its client has gone, if the server lets one see that, else when its stream would end by itself.

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
                    # Nobody publishes one, so whoever was written for Flask-SSE does not expect its data.
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
        """The view: streams the channel that ``?channel=`` names, or ``sse``; or says where a hub does."""
        query = Query.of(request, (chosen := current_settings()).multi_channel)
        if self._uses_custom_client() or self._overrides("messages"):
            if request.method == "HEAD":
                return response(())
            # Theirs may need the request, so it stays; and their bytes are Flask-SSE's.
            channel = query.channels[0]
            peer = Peer(request.environ, chosen.stall_seconds)
            return response(stream_with_context(message_texts(self.messages(channel=channel), channel, peer)))

        # Outside of what follows: a setting that can't be is not the browser's fault.
        backend = current_backend(chosen)
        try:
            stream = backend.open(
                query.channels,
                after=query.after,
                last=query.last,
                retry_ms=chosen.retry_ms,
                open_event=query.open_event,
                commits_at_empty_line=query.commits_at_empty_line,
            )
        except InvalidError as error:
            abort(400, str(error))
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
        """Register the blueprint with an application, as extensions are; beside ``app.register_blueprint``, which does
        as well. Where it is registered already, nothing happens.

        :param app: The application.
        :param url_prefix: Where the view is. Default: ``/stream``.
        :param options: Further options of ``app.register_blueprint``.
        :raises RuntimeError: It is registered already, at another address.
        """
        endpoint = f"{options.get('name', self.name)}.stream"
        if endpoint in app.view_functions:
            present = [rule.rule for rule in app.url_map.iter_rules(endpoint)]
            if url_prefix is not None and url_prefix not in present:
                raise RuntimeError(
                    f"{endpoint!r} is registered already, at {present}, so it can't be at {url_prefix!r}"
                )
            return
        prefix = "/stream" if url_prefix is None else url_prefix
        app.register_blueprint(self, url_prefix=prefix, **options)
        if endpoint not in app.view_functions:
            # One of the application's own that has been given no view.
            app.add_url_rule(prefix, endpoint, self.stream)

    # Flask says `App` of what is shared with Quart; here it is always Flask.
    def register(self, app: Flask, options: dict[str, Any]) -> None:  # type: ignore[override]
        """Register the blueprint, and make the application the one that ``tidecast.publish`` speaks for. The first one
        is ``app.extensions["sse"]``, which ``flask sse`` publishes by."""
        super().register(app, options)
        apps.register(app)
        app.extensions.setdefault("sse", self)
        commands.add(app)

    def reaches_other_processes(self) -> bool:
        """Whether what the current application publishes reaches pages that another process serves."""
        return self._uses_custom_client() or backends.choose(current_settings()).reaches_other_processes

    def _uses_custom_client(self) -> bool:
        is_own = redis_py.is_custom(self, ServerSentEventsBlueprint.__dict__["redis"])
        if is_own and current_app.config.get("SSE_HUB_URL"):
            apps.warn_hub_unused()
        return is_own

    def _overrides(self, name: str) -> bool:
        bound = getattr(self, name)
        return getattr(bound, "__func__", None) is not ServerSentEventsBlueprint.__dict__[name]


def _max_seconds(peer: Peer, chosen: Settings) -> float:
    """Returns when a stream of this request is to end by itself, in seconds; 0 is never."""
    # uWSGI tells of its greenlets by another name.
    if not request.environ.get("wsgi.multithread") and "uwsgi.core" not in request.environ:
        apps.warn_streams_take_turns(chosen.max_stream_seconds)
    elif peer.disconnect_may_be_unseen:
        apps.warn_disconnects_unseen(chosen.max_stream_seconds)
    else:
        return 0
    return chosen.max_stream_seconds


def message_texts(messages: Iterable[Message], channel: str, peer: Peer) -> Iterator[str]:
    """Yields what Flask-SSE sends of messages. One that can't be written is passed over."""
    # So that the head goes out now: most servers send it with the first piece, even if that is none.
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
    """What the current application has set."""
    return Settings.of(current_app.config)


def current_backend(chosen: Settings) -> backends.Backend:
    """What carries the events, with a word where that is not what a server with several processes needs."""
    backend = backends.choose(chosen)
    if has_request_context() and request.environ.get("wsgi.multiprocess") and not backend.reaches_other_processes:
        apps.warn_memory_not_shared()
    return backend


def response(body: Any) -> Response:
    """A response that nothing on its way stores, changes or holds back."""
    made = current_app.response_class(body, mimetype="text/event-stream")
    made.headers["Cache-Control"] = "no-cache, no-transform"
    made.headers["X-Accel-Buffering"] = "no"
    return made
