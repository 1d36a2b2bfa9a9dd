"""Measures the cost of keep-alive comments: the CPU seconds a minute of a hub with many idle streams.

``python3 bench/keep_alive.py target/release/tidecast 15000 8s 15s``, with as many open files allowed as streams.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

SETTLE_SECONDS = 10
MEASURE_SECONDS = 45


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process has taken, in seconds."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(program: str, streams: int, keep_alive: str) -> float:
    """Returns the CPU seconds a minute with this many idle streams."""
    options = ["--listen", "127.0.0.1:0", "--keep-alive", keep_alive, "--streams-max", str(streams + 1)]
    hub = subprocess.Popen([program, "serve", *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert hub.stdout is not None
        port = next(int(line.split(":")[2].split("/")[0]) for line in hub.stdout if "http://" in line)
        request = f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        sockets = []
        for _ in range(streams):
            sockets.append(socket.create_connection(("127.0.0.1", port)))
            sockets[-1].sendall(request)
        time.sleep(SETTLE_SECONDS)
        before, began = cpu_seconds(hub.pid), time.monotonic()
        time.sleep(MEASURE_SECONDS)
        return (cpu_seconds(hub.pid) - before) / (time.monotonic() - began) * 60
    finally:
        hub.kill()
        hub.wait()


if __name__ == "__main__":
    program, streams, *times = sys.argv[1:]
    for keep_alive in times:
        print(f"{keep_alive}: {measure(program, int(streams), keep_alive):.2f} CPU seconds a minute", flush=True)
