"""A WSGI server as a process of a test, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from .ports import accepts, free_port
from .waiting import until

#: The applications that the servers run.
APPS = Path(__file__).parent.parent / "apps"

#: The command of each server.
COMMANDS = {
    "flask": ["-m", "flask", "--app", "{app}", "run", "--port", "0"],
    "flask-without-threads": ["-m", "flask", "--app", "{app}", "run", "--port", "0", "--without-threads"],
    "gunicorn-sync": ["-m", "gunicorn", "{app}", "--bind", "127.0.0.1:0"],
    "gunicorn-gthread": ["-m", "gunicorn", "{app}", "--bind", "127.0.0.1:0", "-k", "gthread", "--threads", "8"],
    "gunicorn-gevent": ["-m", "gunicorn", "{app}", "--bind", "127.0.0.1:0", "-k", "gevent"],
    "waitress": ["-m", "waitress", "--listen", "127.0.0.1:0", "{app}"],
    "waitress-lookahead": [
        *("-m", "waitress", "--listen", "127.0.0.1:0", "--channel-request-lookahead", "1"),
        "{app}",
    ],
}

#: Environment variables of a developer's machine that the tests must not inherit.
INHERITED_SETTINGS = (
    *("SSE_REDIS_URL", "REDIS_URL", "SSE_REDIS_HOST", "SSE_REDIS_PORT", "SSE_REDIS_DB"),
    *("SSE_HUB_URL", "SSE_HUB_KEY", "SSE_HUB_PUBLIC_URL", "SSE_HUB_TICKET_SECONDS", "SSE_HUB_VIA"),
)

COMMANDS["gunicorn-eventlet"] = ["-m", "gunicorn", "{app}", "--bind", "127.0.0.1:0", "-k", "eventlet"]
COMMANDS["granian"] = ["-m", "granian", "--interface", "wsgi", "--port", "{port}", "--blocking-threads", "4", "{app}"]
COMMANDS["hypercorn"] = ["-m", "hypercorn", "--bind", "127.0.0.1:0", "wsgi:{app}"]
COMMANDS["hypercorn-alone"] = [*COMMANDS["hypercorn"], "--workers", "0"]
COMMANDS["asgiref"] = ["-m", "uvicorn", "--port", "0", "adapted:asgiref"]
COMMANDS["a2wsgi"] = ["-m", "uvicorn", "--port", "0", "adapted:a2wsgi"]

UWSGI = [
    "-c",
    "import pyuwsgi; pyuwsgi.run()",
    "--http-socket",
    # A fixed port, which stays the same after a reload.
    "127.0.0.1:{port}",
    "--master",
    "--die-on-term",
    "--need-app",
]
UWSGI += ["--module", "{app}"]
COMMANDS["uwsgi"] = UWSGI
COMMANDS["uwsgi-threads"] = [*UWSGI, "--enable-threads", "--threads", "8"]
COMMANDS["uwsgi-gevent"] = [*UWSGI, "--enable-threads", "--gevent", "300", "--gevent-monkey-patch"]

LISTENS = re.compile(r"(?:(?:[Ll]istening at|[Rr]unning on|Serving on):? http://|TCP address )127\.0\.0\.1:(\d+)")


class Server:
    """A running server.

    :param kind: A key of :data:`COMMANDS`.
    :param folder: The folder for its output.
    :param options: Further options of the server.
    :param environment: Further environment variables.
    :param apps: The folder of the applications.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *options: str,
        app: str = "hello:app",
        environment: dict[str, str] | None = None,
        apps: Path = APPS,
    ) -> None:
        self._output = folder / "server.log"
        command = [part.replace("{app}", app).replace("{port}", str(free_port())) for part in COMMANDS[kind]]
        inherited = {name: value for name, value in os.environ.items() if name not in INHERITED_SETTINGS}
        path = [*(_eventlet() if kind == "gunicorn-eventlet" else []), str(apps)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command, *options],
                cwd=apps,
                env={**inherited, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(lambda: LISTENS.search(self.log()) or self._process.poll() is not None, "the server listens")
        found = LISTENS.search(self.log())
        assert found is not None, self.log()
        self.port = int(found[1])
        until(lambda: accepts(self.port), "the server accepts connections")

    def log(self) -> str:
        """Returns its output."""
        return self._output.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Returns its process id; for gunicorn the arbiter's."""
        return self._process.pid

    def worker(self) -> int:
        """Returns the process id of gunicorn's newest worker, which is logged after it listens."""
        until(lambda: "Booting worker" in self.log(), "there is a worker")
        return int(re.findall(r"Booting worker with pid: (\d+)", self.log())[-1])

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Waits for its end, and returns its exit code.

        :raises subprocess.TimeoutExpired: The time is up.
        """
        return self._process.wait(seconds)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _eventlet() -> list[str]:
    """Returns the packages of the last gunicorn with an eventlet worker, which `cargo xtask setup` installs."""
    folder = os.environ.get("TIDECAST_EVENTLET")
    assert folder, "no eventlet: set TIDECAST_EVENTLET to the folder of the environment `python-eventlet`"
    return [str(found) for found in Path(folder).glob("lib/python*/site-packages")]
