"""The example `chat`, on real servers."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from support.server import Server
from support.source import PATIENCE_SECONDS, Source, ask
from support.waiting import until

CHAT = Path(__file__).parents[2] / "examples" / "chat"


def say(server: Server, **message: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/publish", json.dumps(message), {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def received(source: Source) -> tuple[str, Any]:
    event = source.event()
    return event.get("event", "message"), json.loads(event["data"])


@pytest.mark.parametrize("kind", ["flask", "gunicorn-gevent"])
def test_messages_reach_all_and_private_ones_two(kind: str, tmp_path: Path) -> None:
    with Server(kind, tmp_path, app="chat:app", environment={"PYTHONPATH": str(CHAT)}) as server:
        status, page = ask(server.port, "/")
        assert status == 200 and 'new EventSource("/subscribe/"' in page

        with Source(server.port, "/subscribe/ada") as ada, Source(server.port, "/subscribe/b%C3%B6b") as bob:
            assert received(ada) == ("message", {"text": "Welcome, ada!"})
            assert [received(ada), received(ada)] == [("here", ["ada"]), ("here", ["ada", "böb"])]
            assert [received(bob), received(bob)] == [("message", {"text": "Welcome, böb!"}), ("here", ["ada", "böb"])]
            with Source(server.port, "/subscribe/eve") as eve:
                assert [received(eve)[0], received(eve)[0]] == ["message", "here"]
                assert say(server, **{"from": "ada", "to": "böb", "text": "a secret"}) == 204
                assert say(server, **{"from": "böb", "text": "<b>hello</b>\nall"}) == 204
                whisper = ("private", {"from": "ada", "to": "böb", "text": "a secret"})
                hello = ("message", {"from": "böb", "to": "", "text": "<b>hello</b>\nall"})
                for source, expected in ((ada, [whisper, hello]), (bob, [whisper, hello]), (eve, [hello])):
                    seen = []
                    while len(seen) < len(expected):
                        seen += [event for event in [received(source)] if event[0] != "here"]
                    assert seen == expected
            # A closed page leaves without a message.
            until(lambda: say(server, **{"from": "ada", "to": "eve", "text": "?"}) == 404, "eve has left")
