"""A Redis as a process of a test, without files, on a free port."""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType

import redis

from .ports import free_port
from .waiting import until


class RedisServer:
    """A running Redis."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "no redis-server: run `cargo xtask setup`"
        self._program = program
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.StrictRedis.from_url(self.url)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        until(self._answers, "redis-server answers")

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def connections(self) -> list[str]:
        """Returns the names of the engines' connections."""
        clients = self.client.client_list()
        return [client["name"] for client in clients if client["name"].startswith("tidecast")]

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.client.close()
        self.stop()
