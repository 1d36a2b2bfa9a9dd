"""One client of PyPI: ``python pypi.py NAME [helped] ADDRESS``. Prints the data of each message that it hands out, as a
line of JSON. ``helped`` puts the loop around a client that does not connect again by itself."""

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
    print(json.dumps(data), flush=True)


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


def again(connect) -> None:  # type: ignore[no-untyped-def]
    last = ""
    while True:
        with contextlib.suppress(Exception):
            for data, id in connect({"Last-Event-ID": last} if last else {}):
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


LOOPS = {"sseclient-py": sseclient_py, "httpx-sse": httpx_sse, "requests-sse": requests_sse}

if name in LOOPS and helped:
    again(LOOPS[name])
elif name in LOOPS:
    for data, _ in LOOPS[name]({}):
        show(data)
elif name == "aiohttp-sse-client2":
    asyncio.run(aiohttp_sse_client2())
else:
    asyncio.run(aiosseclient())
