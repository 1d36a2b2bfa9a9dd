"""A real nginx in front of an application and its hub, as `docs/flask.md` has it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from .waiting import until

#: What an application's nginx has. The location that leads to the hub can't be asked for from outside.
CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{app_port};
            proxy_set_header Host $http_host;
        }}
        location /_tidecast/ {{
            internal;
            proxy_pass http://127.0.0.1:{hub_port}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Cookie "";
            proxy_set_header Origin "";
        }}
    }}
}}
"""


class Nginx:
    """An nginx that runs.

    :param folder: Where its files go.
    """

    def __init__(self, folder: Path, app_port: int, hub_port: int) -> None:
        # Root's programs are not on everybody's `PATH`.
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        assert program is not None, "no nginx: run `cargo xtask setup`"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._folder = folder
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=self.port, app_port=app_port, hub_port=hub_port))
        self._process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        until(self._answers, "nginx answers")

    def errors(self) -> str:
        """What it has complained of."""
        return (self._folder / "error.log").read_text()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.errors()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
