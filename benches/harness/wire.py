"""The requests of the benches, on each wire: just enough protobuf, gRPC framing and HTTP/1.1."""

import http.client
import json
import re
import socket
import time


def field(number, value):
    """One length-delimited protobuf field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def frame(message):
    """A message as gRPC and gRPC-Web send it: not compressed, length first."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def first_message(body):
    """The first message of a gRPC-Web body."""
    if len(body) < 5 or body[0] != 0:
        raise RuntimeError(f"not an answer with a message: {body[:200]!r}")
    return body[5 : 5 + int.from_bytes(body[1:5], "big")]


class Client:
    """One HTTP/1.1 connection that sends one credential."""

    def __init__(self, port, credential):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.credential = credential

    def send(self, method, path, body, content_type):
        headers = {"authorization": f"Bearer {self.credential}", "content-type": content_type}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:500]!r}")
        return data

    def json_bytes(self, method, path, body):
        return self.send(method, path, body, "application/json")

    def json(self, method, path, value):
        return json.loads(self.json_bytes(method, path, json.dumps(value)))

    def grpc_web(self, path, message):
        """The whole body, the trailers' frame included."""
        return self.send("POST", path, frame(message), "application/grpc-web+proto")


class Asker:
    """One HTTP/1.1 connection that asks the same kind of question again and again, with as little between it and the
    socket as Python can do: for measuring how long one answer takes."""

    def __init__(self, port, credential, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {credential}\r\n"
        self.head = f"{head}content-type: application/json\r\ncontent-length: ".encode()

    def ask(self, question):
        """The body of the answer, and the seconds from the first byte sent to the last received."""
        request = b"%b%d\r\n\r\n%b" % (self.head, len(question), question)
        started = time.perf_counter()
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self.more()
        head = answer[:end].lower()
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if not head.startswith(b"http/1.1 200 ") or length is None:
            raise RuntimeError(f"not an answer: {answer[:500]!r}")
        while len(answer) < end + 4 + int(length[1]):
            answer += self.more()
        return answer[end + 4 :], time.perf_counter() - started

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server ended the connection")
        return data
