"""Public load generators, and what one run of theirs cost the server."""

import re
import subprocess
from dataclasses import dataclass


@dataclass
class Run:
    """What one run measured."""

    requests: int
    seconds: float
    cpu_microseconds: float  # Of the server, user and system, for each request.

    @property
    def per_second(self):
        return self.requests / self.seconds


@dataclass
class H2load:
    """HTTP/2: `connections` with `in_flight` requests on each."""

    in_flight: int
    path: str
    headers: dict
    body_file: str
    answer_bytes: int  # The body of every answer: a refusal inside a gRPC answer has another size.
    connections: int = 16
    slack: int = 0  # By how many bytes an answer may differ.

    def run(self, server, seconds):
        probe = max(self.connections * self.in_flight * 4, 2000)
        warm = self.drive(server, probe)
        return self.drive(server, max(int(warm.per_second * seconds), probe))

    def drive(self, server, requests):
        headers = [part for name, value in self.headers.items() for part in ("-H", f"{name}: {value}")]
        command = ["h2load", "-t1", f"-c{self.connections}", f"-m{self.in_flight}", f"-n{requests}"]
        command += [*headers, "-d", self.body_file, f"http://127.0.0.1:{server.port}{self.path}"]
        before = server.cpu()
        output = call(command)
        cpu = server.cpu_since(before)

        succeeded = int(match(r"(\d+) succeeded", output))
        answered = int(match(r"status codes: (\d+) 2xx", output))
        data = int(match(r"\((\d+)\) data", output))
        other = abs(data - requests * self.answer_bytes) > requests * self.slack
        if succeeded != requests or answered != requests or other:
            expected = f"{requests} answers of {self.answer_bytes} bytes"
            raise RuntimeError(f"{server.name}: expected {expected}, got\n{output}")
        number, unit = re.search(r"finished in ([\d.]+)(us|ms|s),", output).groups()
        elapsed = float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]
        return Run(requests, elapsed, cpu / requests / 1000)


@dataclass
class Wrk:
    """HTTP/1.1: `connections` with one request in flight on each."""

    path: str
    script: str
    connections: int = 32

    def run(self, server, seconds):
        self.drive(server, 0.3)
        return self.drive(server, seconds)

    def drive(self, server, seconds):
        # wrk takes whole seconds.
        duration = max(1, round(seconds))
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{duration}s", "-s", self.script]
        before = server.cpu()
        output = call([*command, f"http://127.0.0.1:{server.port}{self.path}"])
        cpu = server.cpu_since(before)

        if "Non-2xx" in output or "Socket errors" in output:
            raise RuntimeError(f"{server.name}: not every request was answered\n{output}")
        requests = int(match(r"(\d+) requests in", output))
        return Run(requests, requests / float(match(r"Requests/sec:\s+([\d.]+)", output)), cpu / requests / 1000)


def call(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def match(pattern, text):
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"no {pattern!r} in\n{text}")
    return found[1]
