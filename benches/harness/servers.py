"""Starts the servers to measure, and reads from the kernel what they use."""

import http.client
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Memory:
    """What a process holds, in bytes."""

    resident: int
    anonymous: int
    most: int


class Server:
    """A server process on a port of its own; a context manager that ends it."""

    def __init__(self, name, command, log, ready_path=None):
        """`ready_path` is a path that answers 200 once the server serves; without one an open port is enough."""
        self.name, self.port = name, free_port()
        self.log = Path(log)
        command = [str(part).replace("PORT", str(self.port)) for part in command]
        started = time.perf_counter()
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            self.wait_until_ready(ready_path)
        except BaseException:
            self.process.kill()
            raise
        self.start_seconds = time.perf_counter() - started

    def wait_until_ready(self, path):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
            try:
                if path is None:
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    return
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.002)
        raise RuntimeError(f"{self.name} was not ready after a minute:\n{self.log.read_text()[-2000:]}")

    def cpu(self):
        """Nanoseconds of user and system time so far, by thread."""
        times = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                times[task.name] = int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # A thread that ended meanwhile.
        return times

    def cpu_since(self, before):
        """Nanoseconds since `before = cpu()`."""
        return sum(now - before.get(task, 0) for task, now in self.cpu().items())

    def memory(self):
        """Bytes in memory now: of any kind, of those the bytes that no file stands behind, and the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = (re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE) for name in ("VmRSS", "RssAnon", "VmHWM"))
        return Memory(*(int(match[1]) * 1024 for match in found))

    def metric(self, series):
        """The value that `/metrics` shows for a name with its labels; 0 where it shows none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def free_port():
    """A port nobody listens on, below the range the kernel hands out to clients."""
    for offset in range(1000):
        port = 21000 + (os.getpid() * 7 + offset) % 9000
        if port in given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        given.add(port)
        return port
    raise RuntimeError("no free port")


given = set()
