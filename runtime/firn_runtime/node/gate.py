"""What every message must pass before anything is done with it: signature, expiry, pod."""

from datetime import datetime
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from firn_model import signing
from firn_model.messages import RefusalReason, Signed
from pydantic import ValidationError

from firn_runtime.node.state import Refuse

M = TypeVar("M", bound=Signed)


class Gate:
    """Opens messages that are signed by the account and meant for this pod."""

    def __init__(self, key: Ed25519PublicKey, pod_uid: str) -> None:
        self._key = key
        self._pod_uid = pod_uid

    def open(self, model: type[M], path: str, body: bytes, signature: str | None, now: datetime) -> M | Refuse:
        """Return the message, or why it is refused."""
        try:
            signing.verify(self._key, path, body, signature or "")
        except signing.BadSignatureError as error:
            return Refuse(RefusalReason.BAD_SIGNATURE, str(error))
        try:
            message = model.model_validate_json(body)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, problem["loc"])) or "body" for problem in error.errors())
            return Refuse(RefusalReason.MALFORMED, f"the message cannot be read; wrong: {fields}")
        if message.expires_at.tzinfo is None:
            return Refuse(RefusalReason.MALFORMED, "the message cannot be read; wrong: expires_at has no time zone")
        if message.expires_at <= now:
            return Refuse(RefusalReason.EXPIRED, "the message has expired; sign it again")
        if message.pod_uid != self._pod_uid:
            return Refuse(RefusalReason.WRONG_POD, "the message is for another pod; look the endpoint up again")
        return message
