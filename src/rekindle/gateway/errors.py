"""What keeps the gateway from being set up; what it says to a caller whom it turns away is a ``Refusal``.

::

    GatewayError              a setting
    ├── CredentialsError      the key file, or a key in it
    └── TlsError              the files of the certificate authority
"""

from __future__ import annotations

from rekindle.domain.errors import RekindleError


class GatewayError(RekindleError):
    """The gateway cannot be set up as asked; says which setting and why."""


class CredentialsError(GatewayError):
    """The key file or a key in it cannot be used; says which, and what to do."""


class TlsError(GatewayError):
    """The authority's files cannot be used; says which, and what to do."""
