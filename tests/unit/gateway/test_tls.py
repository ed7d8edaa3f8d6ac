"""The authority: private, agreed on by all, renewed in time, and for AWS's names only."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rekindle.gateway import tls
from rekindle.gateway.aws_names import is_aws
from rekindle.gateway.errors import TlsError

NOW = 1_800_000_000.0
DAY = 86_400.0


def authority(home: Path, now: float = NOW) -> tls.Authority:
    return tls.load_or_create(home, lambda: now)


def test_it_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = authority(tmp_path)
    assert authority(tmp_path).certificate == first.certificate
    assert stat.S_IMODE((tmp_path / "tls" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_it_is_renewed_before_its_end(tmp_path: Path) -> None:
    first = authority(tmp_path)
    life = 5 * 365 * DAY
    assert authority(tmp_path, NOW + life - 31 * DAY).certificate == first.certificate
    renewed = authority(tmp_path, NOW + life - 29 * DAY)
    assert renewed.certificate != first.certificate
    assert renewed.certificate.not_valid_after_utc > first.certificate.not_valid_after_utc


def test_one_that_a_clock_of_the_future_made_is_made_anew(tmp_path: Path) -> None:
    first = authority(tmp_path, NOW + 1000 * DAY)
    renewed = authority(tmp_path)
    assert renewed.certificate != first.certificate
    assert renewed.certificate.not_valid_before_utc <= datetime.fromtimestamp(NOW, UTC)


def test_contexts_of_a_clock_that_was_set_back_are_not_kept(tmp_path: Path) -> None:
    times = [NOW]
    made = tls.load_or_create(tmp_path, lambda: times[-1])
    first = made.context("sts.us-east-1.amazonaws.com")
    times.append(NOW - DAY / 8)
    assert made.context("sts.us-east-1.amazonaws.com") is first
    times.append(NOW - DAY)
    assert made.context("sts.us-east-1.amazonaws.com") is not first


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    authority(tmp_path)
    (tmp_path / "tls" / "ca.key").chmod(0o640)
    with pytest.raises(TlsError, match="Run: chmod 600"):
        authority(tmp_path)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    authority(tmp_path)
    (tmp_path / "tls" / name).write_text("nonsense")
    with pytest.raises(TlsError, match="Delete the folder"):
        authority(tmp_path)


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority(tmp_path)
    authority(tmp_path / "other")
    os.replace(tmp_path / "other" / "tls" / "ca.key", tmp_path / "tls" / "ca.key")
    with pytest.raises(TlsError, match="do not belong together"):
        authority(tmp_path)


def test_a_leaf_is_for_one_host_and_a_week(tmp_path: Path) -> None:
    made, key = authority(tmp_path), ec.generate_private_key(ec.SECP256R1())
    now = datetime.fromtimestamp(NOW, UTC)
    leaf = made.leaf("sts.us-east-1.amazonaws.com", key.public_key(), now)
    leaf.verify_directly_issued_by(made.certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sts.us-east-1.amazonaws.com"]
    assert leaf.not_valid_after_utc - now == timedelta(days=7)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_contexts_are_kept_until_they_are_old(tmp_path: Path) -> None:
    times = [NOW]
    made = tls.load_or_create(tmp_path, lambda: times[-1])
    first = made.context("sts.us-east-1.amazonaws.com")
    assert made.context("sts.us-east-1.amazonaws.com") is first
    times.append(NOW + 6.5 * DAY)
    assert made.context("sts.us-east-1.amazonaws.com") is not first


@pytest.mark.parametrize("host", ["example.org", "amazonaws.com.evil.org", "notamazonaws.com", "amazonaws.com", ""])
def test_other_names_are_none_of_its_business(tmp_path: Path, host: str) -> None:
    assert not is_aws(host)
    with pytest.raises(ValueError, match="not one of AWS's host names"):
        authority(tmp_path).context(host)


def test_the_bundle_holds_ours_and_theirs_and_itself_never(tmp_path: Path) -> None:
    made, theirs = authority(tmp_path), tmp_path / "theirs.pem"
    theirs.write_text("THEIRS\n")
    bundle = tls.write_bundle(tmp_path, made, [theirs, tmp_path / "not there"])
    content = bundle.read_bytes()
    assert content.startswith(b"-----BEGIN CERTIFICATE-----")
    assert content.endswith(b"THEIRS\n")
    before = bundle.stat().st_mtime_ns
    tls.write_bundle(tmp_path, made, [theirs])
    assert bundle.stat().st_mtime_ns == before
    assert tls.write_bundle(tmp_path, made, [theirs, bundle]).read_bytes() == content


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_a_thief_of_the_key_cannot_pose_as_anybody_else(tmp_path: Path) -> None:
    import time

    made, key = authority(tmp_path, time.time()), ec.generate_private_key(ec.SECP256R1())
    forged = tmp_path / "forged.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    leaf = made.leaf("bank.example.org", key.public_key(), datetime.now(UTC))
    forged.write_bytes(secret + leaf.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(forged)
    client = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.pem"))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(server, client, "bank.example.org")
    shake_hands(made.context("sts.us-east-1.amazonaws.com"), client, "sts.us-east-1.amazonaws.com")
