"""Signed messages to nodes: Ed25519 over path and body. Nodes hold only the public key.

A message names the pod it is for (`pod_uid`), the cluster's `epoch` and when it expires; the node checks all three
(design.md, "Security").
"""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HEADER = "Firn-Signature"


class BadSignatureError(Exception):
    """A message is not signed by the account's key."""


def _signed_bytes(path: str, body: bytes) -> bytes:
    return path.encode() + b"\n" + body


def load_private_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the account's signing key from its PKCS#8 PEM. Raises ValueError for any other kind of key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key must be an Ed25519 key in PEM")  # noqa: TRY004  bad content, not a bad call
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public half as base64 of its 32 raw bytes, as nodes get it."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def load_public_text(text: str) -> Ed25519PublicKey:
    """Return the key of `public_text`."""
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def sign(key: Ed25519PrivateKey, path: str, body: bytes) -> str:
    """Return the value of the signature header for a POST of `body` to `path`."""
    return base64.b64encode(key.sign(_signed_bytes(path, body))).decode()


def verify(key: Ed25519PublicKey, path: str, body: bytes, signature: str) -> None:
    """Raise BadSignatureError unless `signature` is that of `body` for `path`."""
    try:
        key.verify(base64.b64decode(signature, validate=True), _signed_bytes(path, body))
    except (InvalidSignature, ValueError) as error:
        raise BadSignatureError("the message is not signed by this account's key") from error
