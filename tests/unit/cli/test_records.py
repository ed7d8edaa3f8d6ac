"""The records that commands print."""

from __future__ import annotations

from rekindle.api.translate.stamps import stamp
from rekindle.cli.records import moment
from rekindle.engine.times import epoch_seconds


def test_a_time_is_the_one_that_the_api_and_an_export_tell() -> None:
    """It was cut, not rounded: of half of all times it said a millisecond less, until they were exported and imported."""
    for time in (1790000237.9428, 1790000237.9424999, 1790000237.9999, 1790000237.943):
        assert epoch_seconds(moment(time)) == stamp(time)
