"""One client from PyPI: ``python pypi.py NAME [helped] ADDRESS``. Prints the data of each message as a line of JSON.

``helped`` adds a loop around a client that does not reconnect by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator

name, *options, address = sys.argv[1:]
helped = "helped" in options


def show(data: str) -> None:
    print(json.dumps(data), file=sys.__stdout__, flush=True)


def sseclient_py(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    import requests
    import sseclient  # type: ignore[import-not-found]

    response = requests.get(address, stream=True, headers=headers, timeout=(5, 30))
    for event in sseclient.SSEClient(response).events():
        yield event.data, event.id or ""


def httpx_sse(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    import httpx  # type: ignore[import-not-found]
    from httpx_sse import connect_sse  # type: ignore[import-not-found]

    with httpx.Client(timeout=30) as client, connect_sse(client, "GET", address, headers=headers) as source:
        for event in source.iter_sse():
            yield event.data, event.id


def requests_sse(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    from requests_sse import EventSource  # type: ignore[import-not-found]

    with EventSource(address, timeout=30, headers=headers) as source:
        for event in source:
            yield event.data, event.last_event_id or ""


def sseclient(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    import importlib.metadata
    import runpy

    # Its module has the name of the package of `sseclient-py`, and prints errors.
    file = importlib.metadata.distribution("sseclient").locate_file("sseclient.py")
    with contextlib.redirect_stdout(sys.stderr):
        SSEClient = runpy.run_path(str(file))["SSEClient"]
        for event in SSEClient(address, headers=headers, retry=200):
            yield event.data, event.id or ""


def lines_of(*command: str) -> Iterator[tuple[str, str]]:
    """Yields the events in a program's output. An id counts from its line on."""
    import ctypes
    import subprocess

    def end_with_parent() -> None:
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as process:
        assert process.stdout
        for line in process.stdout:
            field, _, value = line.rstrip("\n").partition(": ")
            if field in ("data", "id"):
                yield (value, "") if field == "data" else ("", value)


def httpie(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    fields = [f"{name}:{value}" for name, value in headers.items()]
    program = [sys.executable, "-m", "httpie", "--stream", "--ignore-stdin", "--body"]
    yield from lines_of(*program, address, *fields)


def wget(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    fields = [f"--header={name}: {value}" for name, value in headers.items()]
    tries = ["--tries=1"] if helped else []
    yield from lines_of("wget", "-qO-", *tries, *fields, address)


def again(connect) -> None:  # type: ignore[no-untyped-def]
    last = ""
    while True:
        with contextlib.suppress(Exception):
            for data, id in connect({"Last-Event-ID": last} if last else {}):
                if connect not in PROGRAMS or data:
                    show(data)
                last = id or last
        time.sleep(0.2)


async def aiohttp_sse_client2() -> None:
    from aiohttp_sse_client2.client import EventSource  # type: ignore[import-not-found]

    async with EventSource(address, reconnection_time=__import__("datetime").timedelta(seconds=0.2)) as source:
        async for event in source:
            show(event.data)


async def aiosseclient() -> None:
    from aiosseclient import aiosseclient  # type: ignore[import-not-found]

    async for event in aiosseclient(address):
        show(event.data)


PROGRAMS = [httpie, wget]
LOOPS = {
    "sseclient-py": sseclient_py,
    "httpx-sse": httpx_sse,
    "requests-sse": requests_sse,
    "sseclient": sseclient,
    "httpie": httpie,
    "wget": wget,
}

if name in LOOPS and helped:
    again(LOOPS[name])
elif name in LOOPS:
    for data, _ in LOOPS[name]({}):
        if LOOPS[name] not in PROGRAMS or data:
            show(data)
elif name == "aiohttp-sse-client2":
    asyncio.run(aiohttp_sse_client2())
else:
    asyncio.run(aiosseclient())
