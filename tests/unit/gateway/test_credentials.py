from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from rekindle.gateway.credentials import (
    DEFAULT_ACCOUNT,
    FILE_NAME,
    Credentials,
    KeyPair,
    add_pair,
    load_or_create,
    new_pair,
)
from rekindle.gateway.errors import CredentialsError


def test_the_first_start_makes_one_pair_and_keeps_it(tmp_path):
    folder = tmp_path / "new" / "folder"
    first = load_or_create(folder)
    assert len(first.pairs) == 1
    assert first.first.account == DEFAULT_ACCOUNT
    assert load_or_create(folder).first == first.first
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == [f".{FILE_NAME}.lock", FILE_NAME]


START = """
import sys
from pathlib import Path
from rekindle.gateway.credentials import load_or_create
sys.stdin.readline()
print(load_or_create(Path(sys.argv[1])).first.access_key)
"""


def test_processes_that_start_at_once_agree(tmp_path):
    command = [sys.executable, "-c", START, str(tmp_path / "state")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert len({process.communicate()[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0] * 4


def test_further_pairs_act_for_other_accounts_and_the_first_stays_first(tmp_path):
    first = load_or_create(tmp_path).first
    other = add_pair(tmp_path, "123456789012")
    credentials = load_or_create(tmp_path)
    assert credentials.first == first
    assert credentials.find(other.access_key) == other
    assert {pair.account for pair in credentials.pairs.values()} == {DEFAULT_ACCOUNT, "123456789012"}
    assert credentials.find("nobody") is None


def test_a_secret_is_never_shown():
    pair = new_pair()
    credentials = Credentials.of(pair)
    assert pair.secret_key not in repr(pair) + repr(credentials) + str(pair) + str(credentials)


def test_pairs_are_long_and_different():
    pairs = [new_pair() for _ in range(50)]
    assert len({pair.access_key for pair in pairs}) == len({pair.secret_key for pair in pairs}) == 50
    assert all(len(pair.access_key) == 20 and len(pair.secret_key) == 40 for pair in pairs)


def test_a_file_that_others_can_read_is_refused(tmp_path):
    load_or_create(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(CredentialsError, match=r"mode 0644.*chmod 600"):
        load_or_create(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"keys": 1}', '{"keys": [1]}', '{"keys": [{"access_key_id": "x"}]}', '{"keys": []}']
)
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    load_or_create(tmp_path)
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(CredentialsError, match=FILE_NAME):
        load_or_create(tmp_path)


@pytest.mark.parametrize(
    ("access_key", "secret", "account"),
    [
        ("ab", "s" * 40, "1" * 12),
        ("A B" * 8, "s" * 40, "1" * 12),
        ("A" * 20, "s", "1" * 12),
        ("A" * 20, "s" * 40, "123"),
        ("A" * 20, "s" * 40, "１" * 12),
    ],
)
def test_a_pair_that_cannot_be_is_refused(access_key, secret, account):
    with pytest.raises(CredentialsError) as error:
        KeyPair(access_key, secret, account)
    assert "needs" in str(error.value)


def test_one_access_key_cannot_act_for_two_accounts(tmp_path):
    pair = new_pair()
    with pytest.raises(CredentialsError, match="twice"):
        Credentials.of(pair, KeyPair(pair.access_key, "another-secret-here", "1" * 12))
    load_or_create(tmp_path)
    entry = json.loads((tmp_path / FILE_NAME).read_text())["keys"][0]
    (tmp_path / FILE_NAME).write_text(json.dumps({"keys": [entry, entry]}))
    with pytest.raises(CredentialsError, match="twice"):
        load_or_create(tmp_path)


def test_an_account_that_has_no_pair_yet_gets_one_next_to_the_others(tmp_path):
    first = load_or_create(tmp_path).first
    credentials = load_or_create(tmp_path, "333333333333")
    other = credentials.for_account("333333333333")
    assert other is not None
    assert credentials.first == credentials.for_account(DEFAULT_ACCOUNT) == first
    assert load_or_create(tmp_path, "333333333333").for_account("333333333333") == other
    assert credentials.for_account("444444444444") is None
