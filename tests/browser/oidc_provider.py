"""An OpenID Connect provider on localhost: discovery, authorize, token with a signed identity, keys, end of session.

It logs in whoever `person` says without asking, as a provider does for somebody who is logged in there already.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "dashboard", "the client's own secret"


class Provider(ThreadingHTTPServer):
    """The provider. `person` holds the claims of whoever logs in next; `signing_key` may be replaced by a forger's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.published_key = RSAKey.generate_key(2048, {"kid": "one"})
        self.signing_key = self.published_key
        self.person: dict[str, Any] = {}
        self.logged_out = 0
        self.codes: dict[str, dict[str, str]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def log_in(self, email: str, **claims: Any) -> None:
        """Who logs in next, with a verified address unless `email_verified` says otherwise."""
        self.person = {"sub": email, "email": email, "email_verified": True} | claims

    def identity(self, asked: dict[str, str]) -> str:
        """The signed token that says who logged in."""
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": asked["nonce"]}
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.person, self.signing_key)


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        path, query = urlparse(self.path).path, _flat(urlparse(self.path).query)
        if path == "/.well-known/openid-configuration":
            self._say(_metadata(self.server.address))
        elif path == "/keys":
            self._say({"keys": [self.server.published_key.as_dict(private=False)]})
        elif path == "/authorize":
            code = secrets.token_urlsafe()
            self.server.codes[code] = query
            self._send_to(query["redirect_uri"], code=code, state=query["state"])
        elif path == "/end":
            self.server.logged_out += 1
            self._send_to(query["post_logout_redirect_uri"])
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        form = _flat(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked = self.server.codes.pop(form["code"], None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proved = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        known = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or proved != asked["code_challenge"] or self.headers["Authorization"] != f"Basic {known}":
            self.send_error(400)
            return
        token = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 600}
        self._say(token | {"id_token": self.server.identity(asked)})

    def _say(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_to(self, address: str, **query: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"{address}?{urlencode(query)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


def _metadata(address: str) -> dict[str, Any]:
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/authorize",
        "token_endpoint": f"{address}/token",
        "jwks_uri": f"{address}/keys",
        "end_session_endpoint": f"{address}/end",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    }
