"""Which inputs a machine can give a training job, and what is said of the others."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rekindle.api.translate.part import Part
from rekindle.api.translate.training_request import training_spec
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import PROGRAM, SUBMITTED, Algorithm, Channel, Checkpoints, Output, TrainingSpec
from rekindle.engine.ports import Run, RunKey
from rekindle.executors.checks import check_channels, check_checkpoints, check_places
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule
from rekindle.executors.orders import orders_of
from support.wire import training_request

CHANNEL = Channel("train", "s3://bucket/data")
TRANSFER = ("transfer",)


def spec(**changes: Any) -> TrainingSpec:
    return TrainingSpec(Algorithm(command="true"), channels=(replace(CHANNEL, **changes),))


@pytest.mark.parametrize("changes", [{}, {"input_mode": "FastFile"}, {"data_type": "ManifestFile"}])
def test_what_can_be_brought(changes: dict[str, str]) -> None:
    check_channels(spec(**changes), TRANSFER)


def test_all_that_is_brought_is_to_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "near").mkdir()
    channels = (CHANNEL, Channel("near", str(tmp_path / "near")))
    wanted = TrainingSpec(Algorithm(image="sagemaker-scikit-learn:1.2"), channels=channels)
    run = Run(RunKey("job", 1), wanted, {PROGRAM: "train.sh", SUBMITTED: "s3://bucket/code/sourcedir.tar.gz"})
    fields = orders_of(run, tmp_path / "job", Host(tmp_path, {"PATH": os.environ["PATH"]}, transfer=TRANSFER))
    assert fields["fetch all"][3::2] == ["../input/data/train", "../input/sourcedir"]
    assert fields["fetched"] == ["input/data/train", "input/sourcedir"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_mode": "Pipe"}, "channels.train.input_mode: 'Pipe': this mode is not available here. Use File or FastFile"),
        (
            {"data_type": "AugmentedManifestFile"},
            "channels.train.data_type: 'AugmentedManifestFile': this type is not available here. Use S3Prefix or ManifestFile",
        ),
        ({"data_type": "Converse"}, "channels.train.data_type: 'Converse'"),
        ({"data_type": "ManifestFile", "uri": "/data/list.json"}, "a manifest can be at s3:// only"),
    ],
)
def test_what_cannot_be_brought_says_why_and_the_way_out(changes: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_channels(spec(**changes), TRANSFER)
    assert said in str(caught.value).replace(":  ", ": ") or said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/proc/rekindle/results", "no folder can be made there"),
        ("/proc", "no folder can be made there"),
        ("{folder}/" + "long" * 100, "no folder can be made there (File name too long)"),
        ("{folder}/nowhere/results", "/nowhere' is not a folder"),
        ("{folder}/file/results", "/file' is not a folder"),
    ],
)
@pytest.mark.parametrize("field", ["output", "checkpoints"])
def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path, field: str, place: str, said: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    uri = place.format(folder=tmp_path)
    kept = {"output": Output(uri)} if field == "output" else {"checkpoints": Checkpoints(uri)}
    with pytest.raises(InvalidValue) as caught:
        check_places(replace(spec(), **kept), TRANSFER)
    assert caught.value.field == f"{field}.uri"
    assert said in caught.value.reason
    assert "Name a folder" in caught.value.hint


@pytest.mark.parametrize(("field", "room"), [("output", 939), ("checkpoints", 958)])
def test_keys_of_results_have_room_behind_the_prefix_that_is_named(tmp_path: Path, field: str, room: int) -> None:
    # All would have been refused by the store, once the training job had done its work.
    def kept(prefix: str) -> TrainingSpec:
        uri = f"s3://bucket/{prefix}"
        return replace(spec(), **{field: Output(uri) if field == "output" else Checkpoints(uri)})

    longest = "é" * (room // 2) + "x" * (room % 2)
    check_places(kept(longest), TRANSFER)
    run = Run(RunKey("n" * 63, 1), kept(longest), {}, group="tuning")
    fields = orders_of(run, tmp_path / "job", Host(tmp_path, {"PATH": os.environ["PATH"]}, transfer=TRANSFER))
    words = [word for name in ("put model", "put output", "mirror") for word in fields.get(name, ())]
    keys = [word.removeprefix("s3://bucket/") for word in words if word.startswith("s3://")]
    assert keys
    assert max(len(f"{key}x".encode()) if key.endswith("/") else len(key.encode()) for key in keys) <= 1024
    with pytest.raises(InvalidValue) as caught:
        check_places(kept(longest + "x"), TRANSFER)
    assert caught.value.field == f"{field}.uri"
    assert "keys would be longer than S3's 1,024 bytes" in caught.value.reason
    assert caught.value.hint == f"Name a prefix of at most {room} bytes, not {room + 1}."


@pytest.mark.parametrize("place", ["checkpoints", "./", "/", "/opt/ml/"])
def test_checkpoints_are_where_a_container_can_have_a_folder(tmp_path: Path, place: str) -> None:
    host = Host(tmp_path, {"PATH": os.environ["PATH"]}, images=(ImageRule("mine", run="container"),))
    wanted = TrainingSpec(Algorithm(image="mine:1"), checkpoints=Checkpoints(str(tmp_path), place))
    with pytest.raises(InvalidValue) as caught:
        check_checkpoints(wanted, host)
    assert (caught.value.field, caught.value.value) == ("checkpoints.local_path", place)
    assert "Leave it out" in caught.value.hint
    for usual in ("", "/opt/ml/checkpoints/"):
        check_checkpoints(replace(wanted, checkpoints=Checkpoints(str(tmp_path), usual)), host)
    check_checkpoints(replace(wanted, algorithm=Algorithm(command="true")), host)


def test_where_a_folder_can_be_made_none_is_left_behind(tmp_path: Path) -> None:
    check_places(replace(spec(), output=Output(str(tmp_path / "a" / "b")), checkpoints=Checkpoints(str(tmp_path))), TRANSFER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("of_algorithm", "of_channel", "holds"), [("Pipe", None, "Pipe"), ("Pipe", "File", "File")])
def test_the_algorithms_mode_holds_where_the_channel_names_none(of_algorithm: str, of_channel: str | None, holds: str) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x"}}
    channel = {"ChannelName": "train", "DataSource": source, **({"InputMode": of_channel} if of_channel else {})}
    request = training_request(InputDataConfig=[channel])
    request["AlgorithmSpecification"]["TrainingInputMode"] = of_algorithm
    assert training_spec(Part("", request), {}).channels[0].input_mode == holds
