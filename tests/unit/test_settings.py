"""Settings from the environment: what is refused is named."""

from __future__ import annotations

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.settings import load_settings


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


@pytest.mark.parametrize("origin", ["tuner.lab", "https://", "https://tuner.lab/", "ftp://tuner.lab", "*", "null"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_ORIGINS: .*: not an origin"):
        load_settings({"REKINDLE_ORIGINS": origin})


def test_slots_are_a_number_or_not_said() -> None:
    assert [load_settings({"REKINDLE_SLOTS": text}).slots for text in ("", "0", "12")] == [None, 0, 12]
    for text in ("-1", "four", "1.5", "10000"):
        with pytest.raises(InvalidValue, match=r"^REKINDLE_SLOTS: .*: not a whole number from 0"):
            load_settings({"REKINDLE_SLOTS": text})
