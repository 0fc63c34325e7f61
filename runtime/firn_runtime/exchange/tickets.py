"""Who may use an engine's door: processes of the same cluster, which share a secret that never crosses the wire.

A request carries an expiry and an HMAC-SHA256 over both (RFC 2104), keyed by a digest of the cluster's Ray token.
"""

import hashlib
import hmac
import struct

_EXPIRY = struct.Struct(">d")
_MAC_BYTES = 32
TICKET_BYTES = _EXPIRY.size + _MAC_BYTES
LIFETIME_SECONDS = 300.0
"""Clocks of a cluster's nodes may differ by less than this."""


def key_of(token: str) -> bytes:
    """Return the key of the cluster that has this Ray token."""
    return hashlib.sha256(b"firn exchange\0" + token.encode()).digest()


def ticket(key: bytes, request: bytes, now: float) -> bytes:
    """Return what must go before a request; `now` in seconds of the wall clock."""
    expiry = _EXPIRY.pack(now + LIFETIME_SECONDS)
    return expiry + hmac.digest(key, expiry + request, "sha256")


def is_valid(key: bytes, ticket: bytes, request: bytes, now: float) -> bool:
    """Return whether a ticket was made with the key for this request, and has not expired."""
    expiry, mac = ticket[: _EXPIRY.size], ticket[_EXPIRY.size :]
    if not hmac.compare_digest(mac, hmac.digest(key, expiry + request, "sha256")):
        return False
    return bool(now <= _EXPIRY.unpack(expiry)[0] <= now + 2 * LIFETIME_SECONDS)
