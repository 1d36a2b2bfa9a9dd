"""A real nginx in front of an application and its hub."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from .ports import accepts, free_port
from .waiting import until

#: The configuration in the documentation. The location that leads to the hub is internal.
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
        }}
    }}
}}
"""


class Nginx:
    """A running nginx.

    :param folder: The folder for its files.
    """

    def __init__(self, folder: Path, app_port: int, hub_port: int) -> None:
        # The folders of root's programs may not be on `PATH`.
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        assert program is not None, "no nginx: run `cargo xtask setup`"
        self.port = free_port()
        self._folder = folder
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=self.port, app_port=app_port, hub_port=hub_port))
        self._process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        until(self._accepts, "nginx accepts connections")

    def accesses(self) -> str:
        """Returns its access log."""
        return (self._folder / "access.log").read_text()

    def errors(self) -> str:
        """Returns its error log."""
        return (self._folder / "error.log").read_text()

    def _accepts(self) -> bool:
        assert self._process.poll() is None, self.errors()
        return accepts(self.port)

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
