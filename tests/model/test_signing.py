"""A message is accepted with its own signature and with no other."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.signing import BadSignatureError, load_private_key, load_public_text, public_text, sign, verify
from hypothesis import given
from hypothesis import strategies as st

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = load_public_text(public_text(KEY))
BODY = b'{"pod_uid":"p","epoch":"e"}'


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.binary())
def test_what_is_signed_verifies(path: str, body: bytes) -> None:
    verify(PUBLIC, path, body, sign(KEY, path, body))


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_changed_body_is_refused(position: int, flip: int) -> None:
    changed = bytearray(BODY)
    changed[position] ^= flip
    with pytest.raises(BadSignatureError):
        verify(PUBLIC, "/bind", bytes(changed), sign(KEY, "/bind", BODY))


def test_a_signature_for_another_path_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        verify(PUBLIC, "/drain", BODY, sign(KEY, "/bind", BODY))


@given(st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_is_refused(position: int, flip: int) -> None:
    raw = bytearray(base64.b64decode(sign(KEY, "/bind", BODY)))
    raw[position] ^= flip
    with pytest.raises(BadSignatureError):
        verify(PUBLIC, "/bind", BODY, base64.b64encode(raw).decode())


def test_another_accounts_signature_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        verify(PUBLIC, "/bind", BODY, sign(Ed25519PrivateKey.generate(), "/bind", BODY))


@pytest.mark.parametrize("signature", ["", "not base64!", "AAAA", "é" * 88])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    with pytest.raises(BadSignatureError):
        verify(PUBLIC, "/bind", BODY, signature)


def test_the_key_is_read_from_its_pem() -> None:
    assert public_text(load_private_key(pem(KEY))) == public_text(KEY)


def test_another_kind_of_key_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="must be an Ed25519 key"):
        load_private_key(pem(ec.generate_private_key(ec.SECP256R1())))
