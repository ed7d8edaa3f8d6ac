"""Event patterns mean what EventBridge's mean."""

from __future__ import annotations

from typing import Any

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.domain.event_pattern import read_pattern

EVENT: dict[str, Any] = {
    "detail-type": "SageMaker Training Job State Change",
    "resources": ["arn:one", "arn:two"],
    "nothing": [],
    "none": None,
    "metrics": [{"Name": "loss", "Value": 0.2}, {"Name": "time", "Value": 9}],
    "detail": {"TrainingJobName": "digits-007", "TrainingJobStatus": "Failed", "Value": 0.5, "Count": 1, "Spot": True},
}

FITS = [
    {"detail-type": ["SageMaker Training Job State Change"]},
    {"detail": {"TrainingJobStatus": ["Stopped", "Failed"], "TrainingJobName": [{"prefix": "digits-"}]}},
    {"detail": {"TrainingJobName": [{"suffix": "007"}]}},
    {"detail": {"TrainingJobName": [{"wildcard": "d*-*7"}]}},
    {"detail": {"TrainingJobName": [{"anything-but": "digits-008"}]}},
    {"detail": {"TrainingJobName": [{"anything-but": ["a", "b"]}]}},
    {"detail": {"TrainingJobName": [{"anything-but": {"prefix": "wine-"}}]}},
    {"detail": {"Value": [{"numeric": [">=", 0.5]}]}},
    {"detail": {"Value": [{"numeric": [">", 0, "<", 1]}]}},
    {"detail": {"Count": [1.0]}},
    {"detail": {"Spot": [True]}},
    {"detail": {"Missing": [{"exists": False}], "Value": [{"exists": True}]}},
    {"detail": {"Missing": ["a", {"exists": False}]}},
    {"other": {"Missing": [{"exists": False}]}},
    {"resources": ["arn:two"]},
    {"nothing": [{"exists": False}]},
    {"none": [None]},
    {"metrics": {"Name": ["loss"], "Value": [{"numeric": ["<", 0.3]}]}},
]

FITS_NOT = [
    {"detail-type": ["SageMaker HyperParameter Tuning Job State Change"]},
    {"detail": {"TrainingJobStatus": ["Failed"], "TrainingJobName": ["digits-008"]}},
    {"detail": {"TrainingJobName": [{"wildcard": "d*-*8"}]}},
    {"detail": {"TrainingJobName": [{"wildcard": "igits"}]}},
    {"detail": {"TrainingJobName": [{"wildcard": "digits.007"}]}},
    {"detail": {"TrainingJobName": [{"anything-but": ["a", "digits-007"]}]}},
    {"detail": {"Missing": [{"anything-but": "a"}]}},
    {"detail": {"Missing": [{"exists": True}]}},
    {"detail": {"Missing": [None]}},
    {"detail": {"Value": [{"numeric": [">", 0, "<", 0.5]}]}},
    {"detail": {"Value": [{"prefix": "0"}]}},
    {"detail": {"Count": [True]}},
    {"detail": {"Spot": [1]}},
    {"detail": {"Spot": [{"numeric": ["=", 1]}]}},
    {"detail": {"TrainingJobStatus": {"Deeper": ["Failed"]}}},
    {"resources": ["arn:three"]},
    {"metrics": {"Name": ["time"], "Value": [{"numeric": ["<", 0.3]}]}},
]


@pytest.mark.parametrize("pattern", FITS)
def test_what_fits(pattern: dict[str, Any]) -> None:
    assert read_pattern(pattern, "pattern").fits(EVENT)


@pytest.mark.parametrize("pattern", FITS_NOT)
def test_what_does_not(pattern: dict[str, Any]) -> None:
    assert not read_pattern(pattern, "pattern").fits(EVENT)


REFUSED = [
    ([], "pattern: .*not a group of names"),
    ({}, "pattern: .*not a group of names"),
    ({"detail": "Failed"}, r"pattern.detail: .*not a list of values. Write: detail: \[VALUE\]"),
    ({"detail": {"TrainingJobStatus": []}}, "pattern.detail.TrainingJobStatus: .*not a list of values"),
    ({"source": [{"cidr": "10.0.0.0/24"}]}, r"pattern.source\[1\]: .*not one of the filters prefix, suffix"),
    ({"source": ["a", {"prefix": "a", "suffix": "b"}]}, r"pattern.source\[2\]: .*not one of the filters"),
    ({"source": [{"prefix": 1}]}, r"pattern.source\[1\].prefix: 1: not a text"),
    ({"source": [{"exists": "yes"}]}, "exists: .*neither true nor false"),
    ({"source": [{"numeric": [">"]}]}, "numeric: .*not a comparison or two"),
    ({"source": [{"numeric": ["~", 1]}]}, "numeric: .*not a comparison or two"),
    ({"source": [{"numeric": [">", True]}]}, "numeric: .*not a comparison or two"),
    ({"source": [{"numeric": [">", "1e-3"]}]}, "numeric: .*not a comparison or two.*'1e-3' is text here"),
    ({"source": [{"numeric": [">", 1, "<", 2, "<", 3]}]}, "numeric: .*not a comparison or two"),
    ({"source": [["a"]]}, r"pattern.source\[1\]: .*neither a text, a number, true, false nor null"),
    ({"$or": [{"source": ["a"]}]}, r"pattern.\$or\[1\]: .*not one of the filters"),
]


@pytest.mark.parametrize(("pattern", "sentence"), REFUSED)
def test_what_is_no_pattern_is_refused_at_its_place(pattern: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        read_pattern(pattern, "pattern")
