"""SIGTERM ends streams, and the program's own handler still runs."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import os, signal, sys
from tidecast._native import Engine
from tidecast.poll import wait

def handler(*_):
    print("handled", flush=True)

if sys.argv[1] != "default":
    signal.signal(signal.SIGTERM, {"ignored": signal.SIG_IGN, "handled": handler}[sys.argv[1]])
engine = Engine()
stream = engine.subscribe(["sse"])
while stream.drain():
    pass
child = os.fork() if sys.argv[2:] == ["child"] else None
if child == 0:
    # A child that is stopped must not end its parent's streams.
    own = engine.subscribe(["sse"])
    os.kill(os.getpid(), signal.SIGTERM)
    while (data := own.drain()) is not None:
        data or wait(own.fileno(), 20)
    os._exit(0)
if child:
    os.waitpid(child, 0)
    print("child ended", wait(stream.fileno(), 0.3), flush=True)
engine.publish("sse", "last")
os.kill(os.getpid(), signal.SIGTERM)
drained = b""
if wait(stream.fileno(), 20 if sys.argv[1] == "handled" else 0.3):
    while data := stream.drain():
        drained += data
        # The signal may be noticed only after the events were drained.
        wait(stream.fileno(), 1.5)
print("ended" if stream.drain() is None else "open", drained.count(b"data: last"), drained.count(b"retry: "),
flush=True)
"""


def run(*arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


def test_the_programs_handler_runs_and_streams_end_after_published_events() -> None:
    assert run("handled") == (0, ["handled", "ended 1 1"])


def test_an_ignored_sigterm_ends_nothing() -> None:
    assert run("ignored") == (0, ["open 1 0"])


def test_an_unhandled_sigterm_ends_the_process() -> None:
    assert run("default") == (-signal.SIGTERM, [])


def test_a_child_that_is_stopped_leaves_its_parents_streams_open() -> None:
    assert run("handled", "child") == (0, ["handled", "child ended False", "handled", "ended 1 1"])


def test_a_main_thread_that_waits_for_a_lock_still_runs_its_handler() -> None:
    """From the first stream on the wait was restarted after the signal, so the handler never ran: granian, whose worker
    waits in this way, had to be killed."""
    code = """
import os, signal, threading
from tidecast._native import Engine

handled = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: handled.set())
engine = Engine()
stream = engine.subscribe(["sse"])
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
print(handled.wait(20))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


def test_ctrl_c_ends_streams_if_it_is_handled_as_sigterm_is() -> None:
    """uvicorn and granian have one handler for both. With separate handlers, as by default in Python, streams stay
    open."""
    code = """
import os, signal, sys
from tidecast.wsgi import worker_monitor
from tidecast._native import Engine
from tidecast.poll import wait

handler = lambda *_: None
signal.signal(signal.SIGTERM, handler)
signal.signal(signal.SIGINT, handler if sys.argv[1] == "one" else lambda *_: None)
engine = Engine()
stream = engine.subscribe(["sse"])
while stream.drain():
    pass
worker_monitor.current()
os.kill(os.getpid(), signal.SIGINT)
wait(stream.fileno(), 10 if sys.argv[1] == "one" else 0.5)
print(b"retry: " in stream.drain())
"""
    for handlers, ended in (("one", "True\n"), ("two", "False\n")):
        done = subprocess.run([sys.executable, "-c", code, handlers], capture_output=True, text=True, timeout=60)
        assert done.stdout == ended, done.stderr
