"""What the benches ask, and what the server answers to it."""

import re
from pathlib import Path

from .wire import Client, field, first_message, frame

QUESTION_SCOPE, CLIENT_IP = "read:products", "203.0.113.7"
# So large that nothing is refused. Names of one length, so that what is asked about them is as long.
LIMITS = [{"name": "minute", "limit": 1_000_000_000, "window": "60s"},
          {"name": "days00", "limit": 1_000_000_000, "window": "86400s"}]


class Fixture:
    """A caller's key, a credential to ask about and a product, with every request and answer as a file.

    The floors give the same answers back, so what they send is the real server's to the byte.
    """

    def __init__(self, directory, caller):
        self.directory, self.caller, self.credential = Path(directory), caller, None

    @classmethod
    def make(cls, server, directory, administrator=None, limits=()):
        """Makes the keys, under these limits, and the product. The administrator's key is given, or the server's first start
        printed it."""
        admin = Client(server.port, administrator or printed_key(server))
        scopes, limits = ["verify:credentials", QUESTION_SCOPE], list(limits)
        caller = {"type": "RK", "name": "bench", "scopes": scopes, "rateLimits": limits}
        caller = admin.json("POST", "/v1/keys", caller)["secret"]
        subject = {
            "name": "Orders service",
            "owner": "team-orders",
            "scopes": [QUESTION_SCOPE],
            "metadata": {"plan": "pro"},
            "rateLimits": limits,
        }
        credential = admin.json("POST", "/v1/keys", subject)["secret"]
        goods = {
            "name": "Trail running shoe",
            "description": "Light, with a grip for wet rock.",
            "price": "119.90",
            "currency": "EUR",
            "tags": ["shoes", "running"],
        }
        product = admin.json("POST", "/v1/products", goods)["id"]
        fixture = cls(directory, caller)
        fixture.directory.mkdir(parents=True, exist_ok=True)
        fixture.record(server, credential, product)
        for rpc in ("verify", "whoami", "product"):
            marker = fixture.directory / f"{rpc}.limits"
            # A floor whose answers are those to a caller with limits tells them too.
            marker.touch() if limits else marker.unlink(missing_ok=True)
        return fixture

    @classmethod
    def remembered(cls, directory):
        """What the last run against the server left."""
        try:
            return cls(directory, (Path(directory) / "caller").read_text())
        except FileNotFoundError:
            raise SystemExit("nothing to send yet: run this once without --noise") from None

    @classmethod
    def unknown(cls):
        """Enough to name the cases."""
        return cls("/nonexistent", "")

    def record(self, server, credential, product):
        self.credential = credential
        client = Client(server.port, self.caller)
        verify = field(1, credential) + field(3, QUESTION_SCOPE) + field(4, CLIENT_IP)
        question = json_question(credential)
        self.write("caller", self.caller)
        self.write("verify.frame", frame(verify))
        self.write("whoami.frame", frame(b""))
        self.write("product.frame", frame(field(1, product)))
        self.write("question.json", question)
        self.write("verify.lua", self.lua(question))

        answer = client.json_bytes("POST", "/v1/auth/verify", question)
        if b'"code":"VALID"' not in answer.replace(b" ", b""):
            raise RuntimeError(f"the credential is not valid: {answer!r}")
        web = client.grpc_web("/gatepost.v1.Auth/Verify", verify)
        self.write("verify.json", answer)
        self.write("verify.web", web)
        self.write("verify.pb", first_message(web))
        self.write("whoami.pb", first_message(client.grpc_web("/gatepost.v1.Auth/WhoAmI", b"")))
        body = client.grpc_web("/gatepost.v1.Products/GetProduct", field(1, product))
        self.write("product.pb", first_message(body))

    def lua(self, question):
        """wrk's form of the JSON request."""
        return f"wrk.body = '{question}'\n{self.lua_head()}"

    def lua_in_turn(self, questions):
        """wrk's form of many JSON requests, one after the other: `questions` is the path of a file with one a line."""
        return (
            f"{self.lua_head()}"
            "local requests, turn = {}, 0\n"
            "function init(args)\n"
            f"  for question in io.lines('{questions}') do\n"
            "    requests[#requests + 1] = wrk.format(nil, nil, nil, question)\n"
            "  end\n"
            "end\n"
            "function request()\n"
            "  turn = turn % #requests + 1\n"
            "  return requests[turn]\n"
            "end\n"
        )

    def lua_head(self):
        return (
            'wrk.method = "POST"\n'
            'wrk.headers["content-type"] = "application/json"\n'
            f'wrk.headers["authorization"] = "Bearer {self.caller}"\n'
        )

    def write(self, name, content):
        (self.directory / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def path(self, name):
        return str(self.directory / name)

    def size(self, name):
        try:
            return (self.directory / name).stat().st_size
        except FileNotFoundError:
            return 0

    def describe(self):
        sizes = {name: self.size(name) for name in ("verify.frame", "question.json", "verify.pb", "verify.json")}
        return (
            f"{sizes['verify.frame'] - 5} B protobuf / {sizes['question.json']} B JSON, "
            f"answer {sizes['verify.pb']} B / {sizes['verify.json']} B"
        )


def json_question(credential, client_ip=CLIENT_IP):
    """What the benches ask about a credential."""
    return f'{{"credential":"{credential}","scopes":["{QUESTION_SCOPE}"],"clientIp":"{client_ip}"}}'


def printed_key(server):
    found = re.search(r"sk_live_[0-9A-Za-z]+", server.log.read_text())
    if found is None:
        raise RuntimeError(f"the first start printed no administrator key:\n{server.log.read_text()}")
    return found[0]
