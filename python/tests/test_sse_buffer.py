"""`Sse`, with the pieces of PyPI's `sse` 1.2, except that fields cannot have line breaks."""

from __future__ import annotations

import pytest

from tidecast.sse import Sse


def test_the_buffer_begins_with_a_reconnection_time() -> None:
    assert list(Sse()) == ["retry: 2000\n\n"]
    assert list(Sse(default_retry=1000)) == ["retry: 1000\n\n"]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("one", ["one"]),
        ("one\ntwo", ["one", "two"]),
        ("one\r\ntwo\rthree", ["one", "two", "three"]),
        (["one", "two\nthree"], ["one", "two", "three"]),
        (("one", b"two"), ["one", "two"]),
        ({"one"}, ["one"]),
        ("ü".encode(), ["ü"]),
        (" indented", [" indented"]),
        ("", []),
        ([], []),
    ],
)
def test_the_pieces_of_a_message(text: str, data: list[str]) -> None:
    pieces = ["event: foo\n", *(f"data: {line}\n" for line in data), "\n"]
    added, named = Sse(), Sse()
    added.add_message("foo", text)
    named.add_event_foo(text=text)
    assert str(added) == "retry: 2000\n\n" + "".join(pieces)
    assert list(added) == list(named) == ["retry: 2000\n\n", *pieces]
    assert (str(added), list(added)) == ("", [])


def test_bytes_in_another_encoding() -> None:
    sse = Sse()
    sse.flush()
    sse.add_message("foo", "ü".encode("latin-1"), encoding="latin-1")
    assert str(sse) == "event: foo\ndata: ü\n\n"


def test_ids_and_times() -> None:
    sse = Sse()
    sse.flush()
    sse.set_event_id(7)
    sse.set_event_id("")
    sse.reset_event_id()
    sse.set_retry(5)
    assert list(sse) == ["id: 7\n\n", "id\n\n", "id\n\n", "retry: 5\n\n"]


def test_an_interrupted_iteration_keeps_the_buffer() -> None:
    sse = Sse()
    assert next(iter(sse)) == "retry: 2000\n\n"
    assert str(sse) == "retry: 2000\n\n"


def test_invalid_arguments_are_refused() -> None:
    sse = Sse()
    for text in (None, 5, [5]):
        with pytest.raises(AttributeError):
            sse.add_message("foo", text)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="add_other"):
        sse.add_other(text="x")
    with pytest.raises(AttributeError):
        sse.add_event_  # noqa: B018
    with pytest.raises(UnicodeDecodeError):
        sse.add_message("foo", b"\xff")


@pytest.mark.parametrize("forged", ["a\ndata: forged\n\n", "a\rb", "a\0b"])
def test_line_breaks_in_fields_are_refused(forged: str) -> None:
    sse = Sse()
    for use in (lambda: sse.add_message(forged, "x"), lambda: sse.set_event_id(forged), lambda: Sse(forged)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="line break"):
            use()
    assert str(sse) == "retry: 2000\n\n"
