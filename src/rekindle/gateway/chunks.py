"""The signatures inside an ``aws-chunked`` body: each chunk signs itself and the one before it, the trailer the last.

Source: S3 API reference, "Signature calculations for the Authorization header: transferring payload in multiple chunks".
The S3 room takes the body apart; it hands digests and signatures here and learns whether they hold.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from rekindle.gateway.sigv4 import EMPTY_SHA256, Claim, hmac_hex, signing_key


class ChunkVerifier:
    """Follows one body's chain of signatures. Chunks must come in order; after one failure, nothing verifies."""

    def __init__(self, claim: Claim, secret: str) -> None:
        self._key = signing_key(secret, claim.scope)
        self._head = f"{claim.timestamp}\n{claim.scope}"
        self._previous = claim.signature
        self._broken = False

    def chunk(self, payload_sha256: str, signature: str) -> bool:
        """Whether this is the chunk that follows; ``payload_sha256`` in hex, of the chunk's data (the empty last one too)."""
        return self._follow(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self._head}\n{self._previous}\n{EMPTY_SHA256}\n{payload_sha256}", signature
        )

    def trailer(self, canonical: bytes, signature: str) -> bool:
        """Whether this is the trailer that follows the last chunk; ``canonical`` is ``name:value\\n`` of each trailing
        header but the signature itself, names in lower case and sorted, values trimmed."""
        digest = sha256(canonical).hexdigest()
        return self._follow(f"AWS4-HMAC-SHA256-TRAILER\n{self._head}\n{self._previous}\n{digest}", signature)

    def _follow(self, text: str, signature: str) -> bool:
        expected = hmac_hex(self._key, text)
        self._broken |= not hmac.compare_digest(expected, signature.encode("latin-1", "replace"))
        self._previous = signature
        return not self._broken
