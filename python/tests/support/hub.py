"""A hub, the program `tidecast`, as a process of a test."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from .server import INHERITED_SETTINGS
from .waiting import until

IS_AT = re.compile(r"is at http://127\.0\.0\.1:(\d+)/")

#: The publish key of every hub in the tests.
KEY = "key-of-the-tests-and-of-nothing-else"


class Hub:
    """A running hub, with a short reconnection time.

    :param output: The file for its output.
    :param options: Further options of `tidecast serve`.
    :param tickets: Whether streams need a ticket or the key.
    """

    def __init__(self, output: Path, *options: str, tickets: bool = True) -> None:
        # `cargo xtask test` builds it, and sets the variable.
        self._program = os.environ.get("TIDECAST_BIN")
        assert self._program, "no hub: set TIDECAST_BIN to the program `tidecast`"
        self._output = output
        self._options = [*(["--tickets"] if tickets else []), *options]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings: dict[str, Any] = {"SSE_HUB_URL": self.url, "SSE_HUB_KEY": KEY}

    def start(self) -> None:
        """Starts it without events, on its former port if it had one."""
        unset = (*INHERITED_SETTINGS, *(name for name in os.environ if name.startswith("TIDECAST_")))
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        serve = ["serve", "--retry", "50ms", "--listen", f"127.0.0.1:{self.port}", *self._options]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [str(self._program), *serve],
                env={**environment, "TIDECAST_PUBLISH_KEY": KEY},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = self._process
        until(lambda: IS_AT.search(self.log()) or running.poll() is not None, "the hub listens")
        found = IS_AT.search(self.log())
        assert found is not None, self.log()
        self.port = int(found[1])

    def log(self) -> str:
        """Returns its output since the start."""
        return self._output.read_text(errors="replace")

    def stop(self) -> None:
        """Ends it as a service manager does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """Ends it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
