"""The file images.yaml: which rule holds for an image, and what is refused."""

from __future__ import annotations

import csv
import itertools
import os
import sys
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, Channel, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.executors import container, runtimes
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule, load_rules
from rekindle.executors.process import ProcessExecutor
from rekindle.settings import load_settings

ECR = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"


def rules(folder: Path, text: str) -> tuple[ImageRule, ...]:
    (folder / "images.yaml").write_text(text)
    return load_rules(folder / "images.yaml")


@pytest.mark.parametrize(
    ("pattern", "image", "fits"),
    [
        ("pytorch-training", f"{ECR}/pytorch-training:2.1.0-gpu-py310", True),
        ("pytorch-*", f"{ECR}/pytorch-training:2.1.0-gpu-py310", True),
        ("pytorch-training", f"{ECR}/huggingface-pytorch-training:2.1", False),
        ("pytorch-training", f"{ECR}/PyTorch-Training:2.1", False),
        ("*/pytorch-training:*-gpu-*", f"{ECR}/pytorch-training:2.1.0-gpu-py310", True),
        ("*/pytorch-training:*-gpu-*", f"{ECR}/pytorch-training:2.1.0-cpu-py310", False),
        ("local:5000/mine", "local:5000/mine", True),
        ("mine", "local:5000/mine", True),
        ("*", "anything", True),
    ],
)
def test_a_pattern_is_of_repositories_or_of_whole_names(pattern: str, image: str, fits: bool) -> None:
    assert ImageRule(pattern).fits(image) is fits


def test_a_file_s_rules_are_in_its_order_and_its_paths_begin_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "torch.txt").write_text("torch\n")
    text = f"""
- image: sagemaker-scikit-learn
  python: {os.path.relpath(sys.executable, tmp_path)}
- image: pytorch-*
  requirements: torch.txt
- {{image: '*', run: container, engine: podman, options: [--shm-size, 2g], instead: other:1}}
"""
    first, second, third = rules(tmp_path, text)
    assert os.path.samefile(str(first.python), sys.executable)
    assert second == ImageRule("pytorch-*", requirements=tmp_path / "torch.txt")
    assert third == ImageRule("*", "container", engine="podman", options=("--shm-size", "2g"), instead="other:1")
    assert rules(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b", "images.yaml: {'a': 'b'}: not a list of images"),
        ("- 1", "images.yaml[1]: 1: not a group of settings"),
        ("- image: x\n- pithon: y", "images.yaml[2].pithon: 'y': not one of image, run, python,"),
        ("- run: script", "images.yaml[1].image: a pattern is needed"),
        ("- image: 3", "images.yaml[1].image: 3: not a text"),
        ("- {image: x, run: docker}", "images.yaml[1].run: 'docker': neither 'script' nor 'container'"),
        ("- {image: x, run: container, engine: lxc}", "images.yaml[1].engine: 'lxc': neither 'docker' nor 'podman'"),
        ("- {image: x, python: no/such}", "images.yaml[1].python: 'no/such': neither a Python interpreter"),
        ("- {image: x, requirements: no.txt}", "images.yaml[1].requirements: 'no.txt': there is no such file"),
        (
            "- {image: x, requirements: ~no-such-user/x}",
            "images.yaml[1].requirements: '~no-such-user/x': no user's home folder",
        ),
        ("- {image: x, python: ~no-such-user/x}", "images.yaml[1].python: '~no-such-user/x': no user's home folder"),
        ("- {image: x, options: [1]}", "images.yaml[1].options: [1]: not a list of words"),
        ("- {image: x, metrics: [loss]}", "images.yaml[1].metrics: ['loss']: not a group of names"),
        ("- {image: x, metrics: {loss: 1}}", "images.yaml[1].metrics: {'loss': 1}: not a group of names"),
        ("- {image: x, metrics: {loss: 'loss=.*'}}", "images.yaml[1].metrics.loss.regex: 'loss=.*': "),
        ("- {image: x, engine: docker}", "images.yaml[1].engine: 'docker': this is for a container. Write run: container"),
        ("- {image: x, run: container, python: /bin}", "images.yaml[1].python"),
        ("- [", "images.yaml: "),
        ("- image: 2026-99-99", "images.yaml: "),
        ('- image: "\\UFFFFFFFF"', "images.yaml: "),
        ("[" * 1_500, "images.yaml: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        rules(tmp_path, text)
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)


def test_the_metrics_of_an_image_are_known_where_its_rule_names_them(tmp_path: Path) -> None:
    found = rules(tmp_path, "- {image: kmeans, run: container, metrics: {'test:msd': 'msd=(.*)', loss: 'loss=(.*)'}}")
    runs = ProcessExecutor(Host(tmp_path / "home", {"PATH": str(tmp_path)}, images=found), SystemClock())
    known = (MetricDefinition("test:msd", "msd=(.*)"), MetricDefinition("loss", "loss=(.*)"))
    assert runs.metrics_of(TrainingSpec(Algorithm(image=f"{ECR}/kmeans:1"))) == known
    assert runs.metrics_of(TrainingSpec(Algorithm(image=f"{ECR}/pca:1"))) == ()
    assert runs.metrics_of(TrainingSpec(Algorithm(command=("true",)))) == ()


def test_the_home_s_file_is_read_and_another_must_be_there(tmp_path: Path) -> None:
    environ = {"REKINDLE_HOME": str(tmp_path)}
    assert load_settings(environ).images == ()
    (tmp_path / "images.yaml").write_text("- image: mine\n")
    assert load_settings(environ).images == (ImageRule("mine"),)
    with pytest.raises(InvalidValue, match=r"^REKINDLE_IMAGES: .*: cannot be read: No such file"):
        load_settings({**environ, "REKINDLE_IMAGES": str(tmp_path / "none.yaml")})


def test_a_file_that_has_no_end_is_not_read_to_it() -> None:
    with pytest.raises(InvalidValue, match=r"^REKINDLE_IMAGES: '/dev/zero': longer than 1,048,576 bytes"):
        load_settings({"REKINDLE_IMAGES": "/dev/zero"})


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (Algorithm(name="arn:aws:sagemaker:us-east-1:1:algorithm/x"), "algorithms of the AWS Marketplace"),
        (Algorithm(image="865070037744.dkr.ecr.us-east-1.amazonaws.com/seller/x:1"), "an image of the AWS Marketplace"),
        (
            Algorithm(image=f"{ECR}/blazingtext:1"),
            "AWS lets nobody pull: .* Built in here are xgboost, linear-learner, knn",
        ),
        (Algorithm(image=f"{ECR}/mine:1"), "Say it in the file images.yaml"),
    ],
)
def test_what_only_aws_has_is_refused_with_the_reason(algorithm: Algorithm, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        runtimes.check_image(algorithm, {})


def test_jumpstart_s_scripts_are_refused() -> None:
    values = {"sagemaker_program": "t.py", "sagemaker_submit_directory": "s3://jumpstart-cache-prod-us-west-2/source.tar.gz"}
    with pytest.raises(Unsupported, match="JumpStart"):
        runtimes.check_image(Algorithm(image=f"{ECR}/pytorch-training:2.1"), values)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    return engine


def test_code_that_is_not_there_is_refused_though_nobody_says_what_runs_it(engine: Path) -> None:
    with pytest.raises(InvalidValue, match="sagemaker_submit_directory: '/no/such': there is no such file"):
        runtimes.check_image(
            Algorithm(image="mine"),
            {"sagemaker_submit_directory": "/no/such"},
            [ImageRule("*", "container")],
            str(engine.parent),
        )


def test_what_a_built_in_algorithm_needs_may_be_in_its_container_alone(tmp_path: Path, engine: Path, monkeypatch) -> None:
    monkeypatch.setattr(runtimes, "_is_there", lambda name: False)
    host = Host(tmp_path / "home", {"PATH": str(engine.parent)}, images=[ImageRule("xgboost", "container")])
    spec = TrainingSpec(Algorithm(image="xgboost:1"), channels=(Channel("train", str(tmp_path), content_type="parquet"),))
    ProcessExecutor(host, SystemClock()).check(spec, {"num_round": "1"})


@pytest.mark.parametrize(
    ("folder", "host"),
    [("/runs/tuning/job", "algo-1"), ("/runs/tuning/job/hosts/algo-2", "algo-2"), ("/runs/hosts/hosts-001", "algo-1")],
)
def test_a_container_is_of_the_host_whose_folder_it_has_whatever_its_tuning_job_is_called(folder: str, host: str) -> None:
    assert container.host_of(folder, ["algo-1", "algo-2"]) == host


def test_what_a_container_sees_may_have_a_colon_in_its_path(tmp_path: Path) -> None:
    plain, odd, folder = tmp_path / "plain.csv", tmp_path / '12:30, "late".csv', tmp_path / "job"
    (folder / "input" / "data" / "train").mkdir(parents=True)
    for file in (plain, odd):
        file.touch()
        (folder / "input" / "data" / "train" / file.name).symlink_to(file)
    told = {"engine": "docker", "name": "rekindle-job", "attempt": 1, "run": "r", "hosts": ["algo-1"], "image": "mine:1"}
    others = {"options": [], "entrypoint": [], "arguments": [], "environment": {}, "isolated": False, "checkpoints": "/a:b"}
    words = container.create_words({**told, **others}, str(folder), "algo-1")
    assert [b for a, b in itertools.pairwise(words) if a == "--volume"] == [
        f"{folder}:/opt/ml",
        f"{plain}:{plain}:ro",
    ]
    _, *mounts = [next(csv.reader([b])) for a, b in itertools.pairwise(words) if a == "--mount"]
    assert mounts == [
        ["type=bind", f"source={odd}", f"target={odd}", "readonly"],
        ["type=bind", f"source={folder}/checkpoints", "target=/a:b"],
    ]


def test_a_rule_comes_before_what_is_known(tmp_path: Path, engine: Path) -> None:
    algorithm = Algorithm(image=f"{ECR}/pytorch-training:2.1", entrypoint=("run", "it"))
    rule = ImageRule("pytorch-*", "container", options=("--shm-size", "2g"), instead="mine:1")
    program = runtimes.image_program(algorithm, {}, str(tmp_path), tmp_path, (rule, ImageRule("*")))
    assert program.container is not None
    assert (program.container.engine, program.container.image) == (str(engine), "mine:1")
    assert program.container.entrypoint == ("run", "it")
