"""A service account's key, and whether tokens were signed with it: by Google's own library.

`service_account.py make KEY` writes a key file. `service_account.py check KEY TOKENS` reads tokens, one a line.
"""

import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

EMAIL = "deploy@demo-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def make(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(path, "w", encoding="ascii") as file:
        json.dump(
            {
                "type": "service_account",
                "project_id": "demo-project",
                "private_key_id": "key-of-the-tests",
                "private_key": text.decode(),
                "client_email": EMAIL,
                "client_id": "1",
                # Nobody listens there: who signs by himself has nothing to ask.
                "token_uri": "http://127.0.0.1:9/token",
            },
            file,
        )


def check(path, tokens):
    with open(path, encoding="ascii") as file:
        key = json.load(file)
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with open(tokens, encoding="ascii") as file:
        lines = file.read().split()
    assert lines, "no token was sent"
    for token in lines:
        claims = jwt.decode(token, certs=public, clock_skew_in_seconds=10)
        assert jwt.decode_header(token) == {"alg": "RS256", "typ": "JWT", "kid": "key-of-the-tests"}
        assert (claims["iss"], claims["sub"], claims["scope"]) == (EMAIL, EMAIL, SCOPE), claims
        assert claims["exp"] - claims["iat"] <= 3600 + 60, claims


{"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
