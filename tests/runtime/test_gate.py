"""Messages that are not signed, expired, or for another pod are refused before anything is done."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import signing
from firn_model.messages import Drain, RefusalReason
from firn_runtime.node.gate import Gate
from firn_runtime.node.state import Refuse

KEY = Ed25519PrivateKey.generate()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GATE = Gate(KEY.public_key(), "pod-1")
GOOD = Drain(pod_uid="pod-1", epoch="e", expires_at=NOW + timedelta(seconds=5)).model_dump_json().encode()


def test_opens_a_good_message() -> None:
    message = GATE.open(Drain, "/drain", GOOD, signing.sign(KEY, "/drain", GOOD), NOW)
    assert isinstance(message, Drain)
    assert message.epoch == "e"


@pytest.mark.parametrize(
    ("body", "signature", "now", "reason"),
    [
        pytest.param(GOOD, None, NOW, RefusalReason.BAD_SIGNATURE, id="unsigned"),
        pytest.param(GOOD, "no base64", NOW, RefusalReason.BAD_SIGNATURE, id="not base64"),
        pytest.param(GOOD, signing.sign(KEY, "/bind", GOOD), NOW, RefusalReason.BAD_SIGNATURE, id="of another path"),
        pytest.param(
            GOOD,
            signing.sign(Ed25519PrivateKey.generate(), "/drain", GOOD),
            NOW,
            RefusalReason.BAD_SIGNATURE,
            id="by another key",
        ),
        pytest.param(GOOD, "sign", NOW + timedelta(seconds=5), RefusalReason.EXPIRED, id="expired"),
        pytest.param(GOOD.replace(b"pod-1", b"pod-2"), "sign", NOW, RefusalReason.WRONG_POD, id="another pod"),
        pytest.param(b"{}", "sign", NOW, RefusalReason.MALFORMED, id="malformed"),
    ],
)
def test_refuses(body: bytes, signature: str | None, now: datetime, reason: RefusalReason) -> None:
    value = signing.sign(KEY, "/drain", body) if signature == "sign" else signature
    refuse = GATE.open(Drain, "/drain", body, value, now)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is reason
