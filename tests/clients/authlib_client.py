"""Authlib as it comes: a web shop made with Flask that has people sign in, and a job that acts for itself.

The one argument is JSON: {"issuer", "sub", "client": {"id", "secret", "method"}, "machine": the same, "browser":
{"program", "module", "directory", "arguments"}}; the last is how a browser is had that follows a link (visit.mjs).
"""

import json
import subprocess
import sys
import threading

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, session
from werkzeug.serving import make_server

GIVEN = json.loads(sys.argv[1])
ISSUER = GIVEN["issuer"]


def main():
    shop = Shop(GIVEN["client"])
    threading.Thread(target=shop.server.serve_forever, daemon=True).start()

    text = follow(f"{shop.origin}/sign-in", "Deny")
    assert text == "refused: access_denied", text
    text = follow(f"{shop.origin}/sign-in", "Allow")
    assert text == f"hello {GIVEN['sub']}", text
    use(shop.tokens, shop.oauth.gatepost)
    act_for_oneself(GIVEN["machine"])
    print(json.dumps({"passed": True}))


class Shop:
    """A web shop; its users are those of the issuer."""

    def __init__(self, client):
        self.app = Flask(__name__)
        self.app.secret_key = "for this test alone"
        self.server = make_server("127.0.0.1", 0, self.app)
        self.origin = f"http://127.0.0.1:{self.server.port}"
        self.tokens = None
        self.oauth = OAuth(self.app)
        self.oauth.register(
            "gatepost",
            client_id=client["id"],
            client_secret=client["secret"],
            server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid profile email offline_access read:users",
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": client["method"],
            },
        )
        self.app.add_url_rule("/sign-in", view_func=self.sign_in)
        self.app.add_url_rule("/callback", view_func=self.callback)

    def sign_in(self):
        return self.oauth.gatepost.authorize_redirect(f"{self.origin}/callback")

    def callback(self):
        try:
            # Redeems the code, and validates the id_token: signature, issuer, audience, nonce, times.
            self.tokens = self.oauth.gatepost.authorize_access_token()
        except OAuthError as error:
            return f"refused: {error.error}"
        session["user"] = self.tokens["userinfo"]["sub"]
        return f"hello {session['user']}"


def use(tokens, app):
    metadata = app.load_server_metadata()
    told = app.userinfo(token=tokens)
    assert (told["sub"], told["preferred_username"]) == (GIVEN["sub"], "ada"), told
    me = app.get(f"{ISSUER}/v1/users/me", token=tokens)
    assert (me.status_code, me.json()["handle"]) == (200, "ada"), me.text

    client = GIVEN["client"]
    with OAuth2Session(client["id"], client["secret"], token_endpoint_auth_method=client["method"]) as caller:
        fresh = caller.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"])
        assert fresh["refresh_token"] != tokens["refresh_token"]
        known = caller.introspect_token(metadata["introspection_endpoint"], token=fresh["access_token"]).json()
        assert (known["active"], known["sub"]) == (True, GIVEN["sub"]), known
        ended = caller.revoke_token(
            metadata["revocation_endpoint"], token=fresh["refresh_token"], token_type_hint="refresh_token"
        )
        assert ended.status_code == 200, ended.text
        known = caller.introspect_token(metadata["introspection_endpoint"], token=fresh["access_token"]).json()
        assert known == {"active": False}, known
        try:
            caller.refresh_token(metadata["token_endpoint"], refresh_token=fresh["refresh_token"])
        except OAuthError as error:
            assert error.error == "invalid_grant", error
        else:
            raise AssertionError("a revoked refresh token was good")


def act_for_oneself(client):
    endpoint = f"{ISSUER}/oauth/token"
    for method in ("client_secret_basic", "client_secret_post"):
        with OAuth2Session(
            client["id"], client["secret"], scope="read:users", token_endpoint_auth_method=method
        ) as caller:
            token = caller.fetch_token(endpoint, grant_type="client_credentials")
            assert (token["token_type"], token["scope"]) == ("Bearer", "read:users"), token
            listed = caller.get(f"{ISSUER}/v1/users")
            assert listed.status_code == 200, listed.text
        with OAuth2Session(client["id"], "cs_live_wrong", token_endpoint_auth_method=method) as caller:
            try:
                caller.fetch_token(endpoint, grant_type="client_credentials")
            except OAuthError as error:
                assert error.error == "invalid_client", error
            else:
                raise AssertionError("a wrong secret was good")


def follow(url, decision):
    """What the page says on which somebody ends up who follows a link, signs in and decides."""
    browser = GIVEN["browser"]
    arguments = json.dumps({**browser["arguments"], "url": url, "decision": decision})
    ended = subprocess.run(
        [browser["program"], "--input-type=module", "-", arguments],
        input=browser["module"],
        cwd=browser["directory"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    return json.loads(ended.stdout)["text"]


main()
