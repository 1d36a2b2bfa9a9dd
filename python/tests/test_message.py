"""`Message`, with the bytes of Flask-SSE."""

from __future__ import annotations

import pytest
from flask import Flask

from tidecast.flask_sse import Message


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (Message("foo", "example", 5, 500), "event:example\ndata:foo\nid:5\nretry:500\n\n"),
        (Message(None), "data:null\n\n"),
        (Message(5), "data:5\n\n"),
        (Message(False), "data:false\n\n"),
        (Message({}), "data:{}\n\n"),
        (Message("a\nb"), "data:a\ndata:b\n\n"),
        (Message("a\r\nb\rc"), "data:a\ndata:b\ndata:c\n\n"),
        (Message(""), "\n\n"),
        (Message("", "t", 1), "event:t\nid:1\n\n"),
        (Message("a\n"), "data:a\n\n"),
        (Message(" lead"), "data: lead\n\n"),
        (Message("x", "", 0, 0), "data:x\n\n"),
        (Message("x", None, "0"), "data:x\nid:0\n\n"),
        (Message("é"), "data:é\n\n"),
        (Message(["é"]), 'data:["\\u00e9"]\n\n'),
    ],
)
def test_a_message_has_flask_sses_bytes(message: Message, wire: str) -> None:
    assert str(message) == wire


def test_keys_are_sorted_in_an_application_context() -> None:
    message = Message({"b": 1, "a": 2})
    assert str(message) == 'data:{"b": 1, "a": 2}\n\n'
    with Flask("tests").app_context():
        assert str(message) == 'data:{"a": 2, "b": 1}\n\n'


def test_empty_fields_are_left_out() -> None:
    assert Message(None, "", "", 0).to_dict() == {"data": None}
    assert list(Message("x", "t", 1, 2).to_dict()) == ["data", "type", "id", "retry"]


def test_messages_are_compared_by_their_fields() -> None:
    class Other(Message):
        pass

    assert Message("x", id=1) == Message("x", id=1)
    assert Message("x") != Message("x", id=1)
    # The left operand's class decides, and Python asks the subclass first.
    assert Message("x") != Other("x")
    assert Message("x") != "x"
    assert repr(Other("x", retry=5)) == "Other('x', retry=5)"
    with pytest.raises(TypeError):
        hash(Message("x"))


def test_data_without_a_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        str(Message(b"bytes"))
    with pytest.raises(TypeError):
        Message()  # type: ignore[call-arg]
