"""Settings from the environment: what is refused is named."""

from __future__ import annotations

import base64
import os
import pwd
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.ports import StoreUnavailable
from rekindle.executors.instances import InstanceType, instance_of
from rekindle.executors.ledger import Amount
from rekindle.gateway.errors import CredentialsError
from rekindle.serving import known_credentials
from rekindle.settings import load_settings
from rekindle.storage.store import open_store


def test_names_and_origins_are_lists() -> None:
    settings = load_settings(
        {"REKINDLE_HOSTS": "Tuner.Lab, box,10.0.0.7,", "REKINDLE_ORIGINS": "https://Tuner.Lab:8421,http://[::1]:80"}
    )
    assert settings.hosts == ("tuner.lab", "box", "10.0.0.7")
    assert settings.origins == ("https://tuner.lab:8421", "http://[::1]:80")
    assert load_settings({"REKINDLE_HOSTS": " "}).hosts == ()


@pytest.mark.parametrize("host", ["tuner.lab:8421", "http://tuner.lab", "*.lab", "tuner..lab", "-box", "tüner"])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_HOSTS: .*: not a host name"):
        load_settings({"REKINDLE_HOSTS": f"box,{host}"})


@pytest.mark.parametrize("name", ["REKINDLE_HOME", "REKINDLE_IMAGES", "REKINDLE_EVENTS", "REKINDLE_EVENTS_FILE"])
def test_the_home_of_a_user_that_there_is_not_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=f"{name}: '~no-such-user/x': no user's home folder"):
        load_settings({"REKINDLE_HOME": str(tmp_path), name: "~no-such-user/x"})


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_number: int) -> pwd.struct_passwd:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    with pytest.raises(InvalidValue, match=r"^REKINDLE_HOME: "):
        load_settings({})


@contextmanager
def _as_nobody() -> Iterator[None]:
    """While the block lasts, this process has no more rights than any account; root may look into every folder."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_home_of_another_account_is_named_and_not_a_file_that_it_might_have(below: str, tmp_path: Path) -> None:
    home = tmp_path / "theirs" / below
    home.mkdir(parents=True)
    (tmp_path / "theirs").chmod(0o000)
    message = f"the home folder {home} cannot be read and written by this user"
    with _as_nobody(), pytest.raises(StoreUnavailable, match=message) as refused:
        load_settings({"REKINDLE_HOME": str(home)})
    (tmp_path / "theirs").chmod(0o700)
    assert refused.value.hint == "Set REKINDLE_HOME to a folder that you may write."


@pytest.mark.parametrize("origin", ["tuner.lab", "https://", "https://tuner.lab/", "ftp://tuner.lab", "*", "null"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_ORIGINS: .*: not an origin"):
        load_settings({"REKINDLE_ORIGINS": origin})


def test_slots_are_a_number_or_not_said() -> None:
    assert [load_settings({"REKINDLE_SLOTS": text}).slots for text in ("", "0", "12")] == [None, 0, 12]
    for text in ("-1", "four", "1.5", "10000"):
        with pytest.raises(InvalidValue, match=r"^REKINDLE_SLOTS: .*: not a whole number from 0"):
            load_settings({"REKINDLE_SLOTS": text})


def test_events_are_told_to_whom_the_settings_name() -> None:
    key = bytes(range(32))
    settings = load_settings(
        {
            "REKINDLE_EVENTS_WEBHOOK": "https://me:hidden@hooks.lab:8443/x?token=hidden",
            "REKINDLE_EVENTS_SECRET": f"whsec_{base64.b64encode(key).decode()}",
            "REKINDLE_EVENTS_FILE": "/logs/events.jsonl",
            "PATH": "/bin",
        }
    )
    file, webhook = settings.receivers
    assert (file.name, file.file, file.pattern) == ("file", Path("/logs/events.jsonl"), None)
    assert (webhook.name, webhook.webhook) == ("webhook", "https://me:hidden@hooks.lab:8443/x?token=hidden")
    assert (webhook.secret, webhook.pattern) == (key, None)
    assert settings.environment == {"PATH": "/bin"}, "training jobs would inherit it"
    assert "hidden" not in repr(settings)
    assert repr(key) not in repr(settings)


NO_URLS = ("hidden.lab", "ftp://hidden", "http://", "https://hidden:x/", "https://hidden/#a", "https://hid den/")


@pytest.mark.parametrize("url", NO_URLS)
def test_a_webhook_that_cannot_be_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_EVENTS_WEBHOOK: .*not a URL") as caught:
        load_settings({"REKINDLE_EVENTS_WEBHOOK": url})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("secret", ["hidden", "whsec_hidden", "whsec_aGlkZGVu", "aGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVu"])
def test_a_secret_that_is_none_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_EVENTS_SECRET: ") as caught:
        load_settings({"REKINDLE_EVENTS_SECRET": secret})
    assert "hidden" not in str(caught.value)
    assert "aGlk" not in str(caught.value)


def test_instance_types_stand_for_what_they_take() -> None:
    text = "ml.m5.xlarge=cpus:4,memory:16; ml.g5.*=cpus:4,memory:16,gpus:1;"
    settings = load_settings({"REKINDLE_INSTANCES": text, "REKINDLE_CPUS": "64", "REKINDLE_MEMORY": "256.5"})
    assert settings.instances == (InstanceType("ml.m5.xlarge", Amount(4, 16)), InstanceType("ml.g5.*", Amount(4, 16), 1))
    assert (settings.cpus, settings.memory) == (64, 256.5)
    assert instance_of(settings.instances, "ml.g5.2xlarge").gpus == 1
    assert instance_of(settings.instances, "ml.c5.large") == InstanceType("ml.c5.large")


NO_TABLES = ["ml.x", "=cpus:1", "ml.x=cpus", "ml.x=disk:4", "ml.x=cpus:1,cpus:2", "ml.x=gpus:0.5", "ml.x=cpus:-1"]


@pytest.mark.parametrize("text", NO_TABLES)
def test_what_is_no_table_of_instances_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_INSTANCES: .*ml.m5.xlarge=cpus:4"):
        load_settings({"REKINDLE_INSTANCES": text})


@pytest.mark.parametrize("text", ["0", "-1", "much", "nan"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    for name in ("REKINDLE_CPUS", "REKINDLE_MEMORY"):
        with pytest.raises(InvalidValue, match=f"^{name}: "):
            load_settings({name: text})


def test_homes_that_are_gone_are_named_by_their_ids() -> None:
    assert load_settings({"REKINDLE_GONE_HOMES": "0123456789ab, ABCDEF012345"}).gone_homes == ("0123456789ab", "abcdef012345")
    with pytest.raises(InvalidValue, match="REKINDLE_GONE_HOMES: '/srv/home': not the id of a home"):
        load_settings({"REKINDLE_GONE_HOMES": "/srv/home"})


@pytest.mark.parametrize("region", ["us east", "EU-West-1", "-eu", "eu_1", "x" * 41, "münchen"])
def test_what_cannot_be_in_the_name_of_a_bucket_is_no_region(region: str) -> None:
    with pytest.raises(InvalidValue, match=r"REKINDLE_REGION: .*: a region is"):
        load_settings({"REKINDLE_REGION": region})


def test_regions_are_those_of_aws_and_ones_own() -> None:
    assert [load_settings({"REKINDLE_REGION": r}).region for r in ("", "eu-west-1", "lab")] == ["us-east-1", "eu-west-1", "lab"]


@pytest.mark.parametrize("variable", ["REKINDLE_S3_ENDPOINT", "REKINDLE_RAY_ADDRESS"])
@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:/",
        "https://:9000",
        "http://bad host:9x",
        "http://host:port",
        "http://host:0",
        "ftp://host",
        "host:9000",
    ],
)
def test_what_is_no_endpoint_is_refused_before_anybody_calls_it(variable: str, url: str) -> None:
    with pytest.raises(InvalidValue, match=rf"{variable}: .*: not a URL of the form"):
        load_settings({variable: url})


@pytest.mark.parametrize(
    ("variable", "way_out"), [("REKINDLE_S3_ENDPOINT", "AWS_ACCESS_KEY_ID"), ("REKINDLE_RAY_ADDRESS", "RAY_AUTH_TOKEN")]
)
def test_keys_do_not_belong_into_the_endpoint_and_are_not_repeated(variable: str, way_out: str) -> None:
    with pytest.raises(InvalidValue, match=way_out) as refused:
        load_settings({variable: "https://key:secret@s3.lab"})
    assert "secret@" not in str(refused.value)


@pytest.mark.parametrize(("access_key", "secret_key"), [("ab", "long enough"), ("long enough!", "ab")])
def test_keys_for_an_object_store_of_ones_own_are_refused_by_name(tmp_path: Path, access_key: str, secret_key: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    settings = load_settings({"REKINDLE_HOME": str(tmp_path), "REKINDLE_S3_ENDPOINT": "http://127.0.0.1:9000", **keys})
    with pytest.raises(CredentialsError, match=r"^AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: .* characters") as refused:
        known_credentials(settings)
    assert "http://127.0.0.1:9000" in refused.value.hint


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "https://s3.Lab.example", "http://[::1]:9000", "http://s3.lab/behind"]
)
def test_endpoints(url: str) -> None:
    assert load_settings({"REKINDLE_S3_ENDPOINT": f"{url}/"}).s3_endpoint == url


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///"])
def test_a_database_that_would_be_gone_with_the_command_is_refused(url: str) -> None:
    with pytest.raises(
        InvalidValue, match=r"^REKINDLE_DATABASE_URL: .*: it names no file\. Write sqlite:////folder/rekindle\.db"
    ):
        load_settings({"REKINDLE_DATABASE_URL": url})


@pytest.mark.parametrize("name", ["plain", "what? & %41 #1", "zwölf", "a+b;c:d@e", b"\xff".decode("utf-8", "surrogateescape")])
def test_the_database_is_in_the_home_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with closing(open_store(load_settings({"REKINDLE_HOME": str(home)}).database_url)):
        assert (home / "rekindle.db").is_file()
    assert list(tmp_path.iterdir()) == [home]
