"""Events in memory stay in one process: a publish that a stream of another one cannot receive is logged."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, multiprocessing, os, sys
import tidecast

logging.basicConfig(format="%(message)s", stream=sys.stdout)

def publish():
    for _ in range(2):
        tidecast.publish("x")
    sys.stdout.flush()

if __name__ == "__main__":
    how = sys.argv[1]
    page = tidecast.subscribe() if how in ("fork", "own") else None
    if how == "own":
        publish()
    elif how == "fork":
        if os.fork() == 0:
            publish()
            os._exit(0)
        os.wait()
    else:
        if how == "celery":
            import billiard as multiprocessing
            context = multiprocessing.get_context("fork")
        else:
            context = multiprocessing.get_context(how)
        process = context.Process(target=publish)
        process.start()
        process.join()
    print(page and next(page, None) if how == "own" else None)
"""


@pytest.mark.parametrize(("how", "warnings"), [("fork", 1), ("spawn", 1), ("celery", 1), ("own", 0)])
def test_a_publish_that_reaches_no_stream_is_logged_once(how: str, warnings: int, tmp_path: object) -> None:
    """It returned 0 and logged nothing, so that pages received nothing for no visible reason."""
    program = f"{tmp_path}/program.py"
    with open(program, "w") as file:
        file.write(PROGRAM)
    done = subprocess.run([sys.executable, program, how], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("which serves no stream") == warnings, done.stdout + done.stderr
