"""The certificate authority of one installation: made at first need, its key private to the home folder, good for AWS's names
only.

SDKs build some URLs themselves (``https://sts.REGION.amazonaws.com``), whatever endpoint they are given. To answer there,
the proxy shows a certificate of this authority, which only those trust who were given ``bundle.pem``. What a thief of the
key could do is bounded by the authority's own name constraints: no client accepts a name outside AWS's from it.
"""

from __future__ import annotations

import secrets
import ssl
import stat
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rekindle.gateway.aws_names import AWS_DOMAINS, is_aws
from rekindle.gateway.errors import TlsError
from rekindle.gateway.private_files import locked, write_whole

FOLDER: Final = "tls"
BUNDLE: Final = "bundle.pem"

_KEY, _CERTIFICATE = "ca.key", "ca.pem"
_AUTHORITY_LIFE = timedelta(days=5 * 365)
_AUTHORITY_RENEWAL = timedelta(days=30)
_LEAF_LIFE = timedelta(days=7)
_LEAF_RENEWAL = timedelta(days=1)
#: How far back certificates are dated, for clients whose clock is late.
_SKEW = timedelta(hours=6)
#: The way out of damaged files.
_ANEW = "Delete the folder to have new ones."
#: Hosts whose certificates are kept in memory.
_KEPT_LEAFS = 256


class Authority:
    """Makes certificates for AWS's host names. ``now`` gives seconds since the epoch."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, now: Callable[[], float]) -> None:
        self.certificate = certificate
        self._key = key
        self._now = now
        self._contexts: dict[str, tuple[ssl.SSLContext, datetime]] = {}

    def context(self, host: str) -> ssl.SSLContext:
        """What a TLS server needs to answer as ``host``. Raises ValueError for a name that is none of AWS's."""
        if not is_aws(host):
            raise ValueError(f"{host!r} is not one of AWS's host names")
        now = datetime.fromtimestamp(self._now(), UTC)
        context, until = self._contexts.get(host, (None, now))
        if context is None or not _LEAF_RENEWAL <= until - now <= _LEAF_LIFE + _SKEW:
            context = self._new_context(host, now)
            self._contexts.pop(host, None)
            self._contexts[host] = context, now + _LEAF_LIFE
            if len(self._contexts) > _KEPT_LEAFS:
                del self._contexts[next(iter(self._contexts))]
        return context

    def leaf(self, host: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """A certificate for one host, good for a week."""
        builder = _builder(_name("Rekindle"), self.certificate.subject, key, now, _LEAF_LIFE)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension, critical in (
            (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(signs_certificates=False), True),
            (usage, False),
            (issuer, False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def _new_context(self, host: str, now: datetime) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Python's ssl reads keys from files only; this one is gone in a moment.
        with tempfile.NamedTemporaryFile(prefix="rekindle-", suffix=".pem") as file:
            file.write(_pem(key) + self.leaf(host, key.public_key(), now).public_bytes(Encoding.PEM))
            file.flush()
            context.load_cert_chain(file.name)
        return context


def load_or_create(home: Path, now: Callable[[], float]) -> Authority:
    """The authority of a home folder, made where there is none or where its time is nearly over, or, by a clock that
    was wrong when it was made, has not begun.

    Processes that start at once agree on one. Raises TlsError where its files are damaged or readable by others.
    """
    folder = home / FOLDER
    with locked(folder, ".lock"):
        if not (folder / _KEY).exists():
            _create(folder, now)
        authority = _read(folder, now)
        if not _is_good(authority.certificate, datetime.fromtimestamp(now(), UTC)):
            _create(folder, now)
            authority = _read(folder, now)
    return authority


def write_bundle(home: Path, authority: Authority, others: Sequence[Path]) -> Path:
    """The file of the certificates that clients are to trust: the authority's and all in ``others``; its path.

    It is rewritten only when it changes, and whole.
    """
    path = home / FOLDER / BUNDLE
    found = [authority.certificate.public_bytes(Encoding.PEM)]
    found += [other.read_bytes() for other in others if other.is_file() and other != path]
    content = b"\n".join(found)
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content, 0o644)
    return path


def public_authorities(chosen: str | None) -> list[Path]:
    """Files of the authorities that the world trusts: the user's own choice, or the system's and those that Python's
    libraries bring."""
    if chosen:
        return [Path(chosen)]
    import botocore

    system = ssl.get_default_verify_paths().cafile
    found = [Path(system)] if system else []
    try:
        import certifi

        return [*found, Path(certifi.where())]
    except ImportError:
        return [*found, Path(botocore.__file__).with_name("cacert.pem")]


def _is_good(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _AUTHORITY_RENEWAL


def _create(folder: Path, now: Callable[[], float]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Rekindle's authority for AWS names {secrets.token_hex(4)}")
    builder = _builder(name, name, key.public_key(), datetime.fromtimestamp(now(), UTC), _AUTHORITY_LIFE)
    names = x509.NameConstraints([x509.DNSName(domain) for domain in AWS_DOMAINS], None)
    for extension in (x509.BasicConstraints(ca=True, path_length=0), _key_usage(signs_certificates=True), names):
        builder = builder.add_extension(extension, critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    write_whole(folder / _CERTIFICATE, certificate.public_bytes(Encoding.PEM), 0o644)
    write_whole(folder / _KEY, _pem(key), 0o600)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(folder: Path, now: Callable[[], float]) -> Authority:
    path = folder / _KEY
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise TlsError(f"{path}: mode {mode:04o} lets others read the authority's key.", f"Run: chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / _CERTIFICATE).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise TlsError(f"{folder}: the authority's files are damaged ({error}).", _ANEW) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise TlsError(f"{folder}: {_KEY} and {_CERTIFICATE} do not belong together.", _ANEW)
    return Authority(key, certificate, now)
