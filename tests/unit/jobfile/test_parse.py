"""What a job file becomes."""

import os
import re
from pathlib import Path

import pytest

from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Channel, Checkpoints, Output, Resources
from rekindle.domain.tuning_job import CompletionCriteria, Hyperband, Limits, Objective, StrategyName, WarmStart, WarmStartType
from rekindle.domain.tuning_rules import RELAXED, check_spec
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.parse import KEYS, parse
from rekindle.jobfile.ranges import SCALINGS
from rekindle.search.space import Categorical, Continuous, Integer

FOLDER = Path("/jobs/digits")
FULL = """\
name: digits-svm
command: python train.py --fast
source: src
python: envs/py
arguments: none
objective: {metric: accuracy, goal: maximize, regex: 'accuracy=([0-9.]+)'}
metrics:
  loss: 'loss=([0-9.]+)'
ranges:
  C: {min: 1e-3, max: 1e3, scaling: logarithmic}
  degree: {min: 2, max: 5, type: integer}
  kernel: [rbf, poly, linear]
  shrinking: {values: [yes, no]}
static: {cv: 5, tol: 1e-3, cache: true}
strategy: random
seed: 7
limits: {jobs: 24, parallel: 2, runtime: 1h30m, job_runtime: 5m}
early_stopping: auto
completion: {target: 0.99, not_improving: 10, convergence: yes}
warm_start: {type: identical, parents: [one, two]}
channels:
  train: ../data
  test: {uri: s3://bucket/test, content_type: text/csv}
environment: {LEVEL: 3}
output: {uri: file:///results, compression: none}
checkpoints: {uri: ckpt, local_path: /ckpt}
resources: {instances: 2, gpus: 1, cpus: 4}
retries: 2
tags: {team: vision}
known_names: no
"""
SHORT = """\
name: x
command: ./train
objective: {metric: m, goal: minimize, regex: 'm=(.*)'}
ranges: {a: {min: 1, max: 1000}}
limits: {jobs: 3}
"""


@pytest.fixture(scope="module")
def spec():
    return parse(FULL.encode(), FOLDER).spec


def test_the_search(spec):
    assert spec.name == "digits-svm"
    assert spec.strategy is StrategyName.RANDOM
    assert spec.random_seed == 7
    assert spec.limits == Limits(24, 2, 5400)
    assert spec.early_stopping
    assert spec.completion == CompletionCriteria(0.99, 10, True)
    assert spec.warm_start == WarmStart(WarmStartType.IDENTICAL, ("one", "two"))
    assert spec.tags == {"team": "vision"}


def test_the_definition(spec):
    definition = spec.definition
    assert definition.name is None
    assert definition.objective == Objective("accuracy", "maximize")
    assert definition.ranges == (
        Continuous("C", 1e-3, 1e3, "Logarithmic"),
        Integer("degree", 2, 5),
        Categorical("kernel", ["rbf", "poly", "linear"]),
        Categorical("shrinking", ["yes", "no"]),
    )
    assert definition.statics == {"cv": "5", "tol": "1e-3", "cache": "true"}
    assert not definition.known_names


def test_the_training_job(spec):
    training = spec.definition.training
    assert training.algorithm.command == "python train.py --fast"
    assert training.algorithm.source == "/jobs/digits/src"
    assert training.algorithm.python == "/jobs/digits/envs/py"
    assert training.algorithm.arguments_style == "none"
    assert training.algorithm.metrics == (
        MetricDefinition("accuracy", "accuracy=([0-9.]+)"),
        MetricDefinition("loss", "loss=([0-9.]+)"),
    )
    assert training.channels == (
        Channel("train", "/jobs/data"),
        Channel("test", "s3://bucket/test", content_type="text/csv"),
    )
    assert training.environment == {"LEVEL": "3"}
    assert training.output == Output("file:///results", "NONE")
    assert training.checkpoints == Checkpoints("/jobs/digits/ckpt", "/ckpt")
    assert training.resources == Resources(instance_count=2, gpus=1, cpus=4)
    assert training.max_retries == 2
    assert training.max_runtime_seconds == 300


def test_defaults():
    spec = parse(SHORT.encode(), FOLDER).spec
    assert spec.strategy is StrategyName.BAYESIAN
    assert spec.limits == Limits(3, 1, None)
    assert spec.random_seed is None
    assert spec.definition.ranges == (Continuous("a", 1.0, 1000.0, "Auto"),)
    assert spec.definition.known_names
    assert spec.definition.training.algorithm.source == "/jobs/digits"
    assert spec.definition.training.algorithm.python is None
    assert spec.definition.training.max_runtime_seconds == 86_400


def test_a_training_job_may_run_for_longer_than_on_sagemaker():
    job = FULL.replace("job_runtime: 5m", "job_runtime: 40d")
    assert parse(job.encode(), FOLDER).spec.definition.training.max_runtime_seconds == 40 * 86_400


def test_categories_and_statics_are_passed_as_they_are_written():
    job = SHORT + "static: {zip: 007, when: 2024-01-01, ratio: 1:30, s: 'a b', e: ''}\n"
    job = job.replace("{a: {min: 1, max: 1000}}", "{a: [1, 1.50, 1e-3, on, True, '']}")
    definition = parse(job.encode(), FOLDER).spec.definition
    assert definition.ranges == (Categorical("a", ["1", "1.50", "1e-3", "on", "True", ""]),)
    assert definition.statics == {"zip": "007", "when": "2024-01-01", "ratio": "1:30", "s": "a b", "e": ""}


def test_a_list_of_words_is_a_command():
    job = SHORT.replace("command: ./train", "command: [python, train.py, --name, 'two words']")
    assert parse(job.encode(), FOLDER).spec.definition.training.algorithm.command == "python train.py --name 'two words'"


def test_paths_start_from_the_folder_or_from_home():
    job = SHORT + "python: .venv\nsource: ~/code\n"
    algorithm = parse(job.encode(), FOLDER).spec.definition.training.algorithm
    assert algorithm.python == "/jobs/digits/.venv"
    assert algorithm.source == os.path.expanduser("~/code")


def test_an_image_needs_no_command():
    job = SHORT.replace("command: ./train", "image: pytorch-training:2.1")
    algorithm = parse(job.encode(), FOLDER).spec.definition.training.algorithm
    assert (algorithm.image, algorithm.command, algorithm.source) == ("pytorch-training:2.1", None, None)


@pytest.mark.parametrize("style", ["|", "|+", ">", "|-"])
def test_a_regular_expression_may_stand_in_a_block_of_its_own(style):
    block = f"objective:\n  metric: m\n  goal: minimize\n  regex: {style}\n    m=(\\d+)\n\n"
    spec = parse(SHORT.replace("objective: {metric: m, goal: minimize, regex: 'm=(.*)'}\n", block).encode(), FOLDER).spec
    assert [m.regex for m in spec.definition.training.algorithm.metrics] == [r"m=(\d+)"]


def test_hyperband():
    job = SHORT + "strategy: hyperband\nhyperband: {min_resource: 1, max_resource: 9}\n"
    assert parse(job.encode(), FOLDER).spec.hyperband == Hyperband(1, 9)


def test_byte_order_mark_and_line_ends_do_not_matter():
    plain = parse(SHORT.encode(), FOLDER).spec
    assert parse(SHORT.replace("\n", "\r\n").encode("utf-8-sig"), FOLDER).spec == plain


def test_lines_of_fields():
    file = parse(FULL.encode(), FOLDER)
    assert file.line_of("ranges.C.min") == 10
    assert file.line_of("ranges.C") == 10
    assert file.line_of("warm_start.parents.two.ranges.C") == 20
    assert file.line_of("limits.parallel") == 17
    assert file.line_of("no.such.field") is None
    assert file.line_of("") is None


def test_the_picture_beside_the_job_file_of_the_readme_shows_its_ranges():
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    spec = parse(readme.split("```yaml\n")[1].split("```")[0].encode(), FOLDER).spec
    assert spec.warm_start is None
    shown = re.search(r"^best accuracy=\S+  (.*)  \S+$", readme, re.MULTILINE)
    assert re.findall(r"(\w+)=", shown[1]) == [p.name for p in spec.definition.space.parameters]


@pytest.mark.parametrize("page", ["README.md", "docs/job-file.md", "docs/algorithms.md"])
def test_the_job_files_of_the_pages_are_accepted(page):
    blocks = re.findall(r"```yaml\n(name:.*?)```", (Path(__file__).parents[3] / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        check_spec(parse(block.encode(), FOLDER).spec, RELAXED)


def test_the_guide_names_every_key():
    guide = (Path(__file__).parents[3] / "docs" / "job-file.md").read_text()
    inner = ["metric", "goal", "regex", "jobs", "parallel", "runtime", "job_runtime", "target", "not_improving", "convergence"]
    inner += ["type", "parents", "uri", "content_type", "compression", "local_path", "min", "max", "scaling", "values"]
    inner += ["gpus", "cpus", "min_resource", "max_resource", *SCALINGS]
    assert [key for key in (*KEYS, *inner) if f"`{key}`" not in guide] == []


BUILTIN = """\
name: wine
algorithm: xgboost
channels: {train: train.tsv, validation: {uri: held, content_type: text/csv}}
objective: validation:auc
ranges: {eta: {min: 0.1, max: 0.5}, max_depth: {min: 1, max: 10, type: integer}}
static: {num_round: 20, objective: 'binary:logistic'}
limits: {jobs: 4}
"""


def spec_of(job: str):
    return parse(job.encode(), FOLDER).spec


def test_a_built_in_algorithm_is_named_and_brings_its_metrics():
    spec = spec_of(BUILTIN)
    (definition,) = spec.definitions
    algorithm = definition.training.algorithm
    assert (algorithm.image, algorithm.command, algorithm.source) == ("xgboost", None, None)
    assert definition.objective == Objective("validation:auc", "maximize")
    assert algorithm.metrics == builtin_named("xgboost").metrics
    assert [c.content_type for c in definition.training.channels] == ["text/csv", "text/csv"]
    check_spec(spec, RELAXED)


def test_a_goal_of_ones_own_counts_and_images_are_built_in_too():
    job = BUILTIN.replace("validation:auc", "{metric: validation:auc, goal: minimize}").replace("algorithm:", "image:")
    assert spec_of(job).definition.objective == Objective("validation:auc", "minimize")
    assert spec_of(BUILTIN.replace("auc", "logloss")).definition.objective.direction == "minimize"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("algorithm: xgboost", "algorithm: xgbost", "algorithm: 'xgbost'"),
        ("objective: validation:auc", "objective: validation:acu", "objective: 'validation:acu'"),
        ("objective: validation:auc", "objective: {metric: validation:auc, regex: 'a=(.*)'}", "has metrics of its own"),
        ("limits:", "metrics: {a: 'a=(.*)'}\nlimits:", "has metrics of its own"),
        ("limits:", "command: ./train\nlimits:", "a built-in algorithm has its own program"),
        ("limits:", "python: /usr/bin/python3\nlimits:", "a built-in algorithm has its own program"),
    ],
)
def test_what_does_not_go_with_a_built_in_algorithm_is_refused(old, new, words):
    with pytest.raises(JobFileError) as refused:
        spec_of(BUILTIN.replace(old, new))
    assert words in str(refused.value)


def test_its_hyperparameters_are_checked_with_the_line():
    job = parse(BUILTIN.replace("max: 0.5", "max: 5").encode(), Path("/"))
    with pytest.raises(InvalidValue) as refused:
        check_spec(job.spec, RELAXED)
    assert str(refused.value) == "ranges.eta: [0.1, 5.0]: Hyperparameter eta: 5.0 is not in [0, 1]"
    assert job.line_of(refused.value.field) == 5


def notes(ranges: str, more: str = "") -> tuple[str, ...]:
    return parse(SHORT.replace("{a: {min: 1, max: 1000}}", ranges).encode() + more.encode(), FOLDER).notes


def test_two_numbers_in_a_list_are_told_to_be_a_choice_and_how_a_range_is_written():
    (note,) = notes("{a: {min: 1, max: 2}, lr: [0.001, 1e-1]}")
    assert note == (
        "ranges.lr: [0.001, 1e-1] is a choice of two values. For a range, with all that lies between, write {min: 0.001, max:"
        " 1e-1}, and type: integer in it for whole numbers; {values: [0.001, 1e-1]} says that a choice is meant."
    )


@pytest.mark.parametrize(
    "ranges", ["[a, b]", "[0, 1, 2]", "[0]", "[1, 0]", "['0', '1']", "{values: [0, 1]}", "{min: 0, max: 1}"]
)
def test_what_can_only_be_meant_as_it_is_has_no_note(ranges):
    assert notes(f"{{a: {ranges}}}") == ()


def test_a_grid_has_choices_only():
    assert notes("{a: [0, 1]}", "strategy: grid\n") == ()


def test_a_name_in_braces_in_the_command_is_told_to_be_no_place_for_its_value():
    places = "static: {cv: 5}\n"
    file = SHORT.replace("./train", "'./train {a} --cv={cv} {other}'") + places
    (note,) = parse(file.encode(), FOLDER).notes
    assert note == (
        "command: {a}, {cv}: braces reach the program as they are written. Leave them out: each value is appended as `--a"
        " VALUE` and in a variable such as SM_HP_A."
    )
    (note,) = parse((file + "arguments: none\n").encode(), FOLDER).notes
    assert note.endswith("Leave them out: each value is in a variable such as SM_HP_A.")
    assert parse((SHORT + places).encode(), FOLDER).notes == ()


def test_a_path_in_the_home_folder_is_told_to_reach_the_program_as_it_is_written():
    (note,) = parse(SHORT.replace("./train", "./train ~/data --out=~ a~b ~1").encode(), FOLDER).notes
    assert note.startswith("command: ~/data, ~: commands are run without a shell, and ~ reaches the program as it is written.")


@pytest.mark.parametrize("command", ["bash -c './train | tee log'", "/bin/sh -ec './train \"$@\"'", "bash -c ./train x"])
def test_values_that_a_shell_would_not_hand_on_are_told_to_be_lost(command):
    (note,) = parse(SHORT.replace("./train", command).encode(), FOLDER).notes
    shell, option, *_ = command.split()
    assert f" Write: {shell} {option} '... \"$@\" ...' {shell}. " in note
    assert "SM_HP_A instead, say `arguments: none`" in note
    assert parse((SHORT.replace("./train", command) + "arguments: none\n").encode(), FOLDER).notes == ()


@pytest.mark.parametrize(
    "script", ["'./train \"$@\" | tee log' bash", "'./train --a ${2}' bash", "'./train $SM_HP_A'", "'./train $0 $1'", ""]
)
def test_a_shell_that_hands_values_on_is_as_it_is_meant(script):
    assert parse(SHORT.replace("./train", f"bash -c {script}").encode(), FOLDER).notes == ()


def test_what_follows_a_script_is_the_scripts_own():
    assert parse(SHORT.replace("./train", "bash run.sh -c config.yaml").encode(), FOLDER).notes == ()
    (note,) = parse(SHORT.replace("./train", "bash -o pipefail -c './train | tee log'").encode(), FOLDER).notes
    assert "values are appended as `--a VALUE` behind the script of bash" in note


def test_a_variable_in_the_command_is_told_to_need_a_shell():
    file = SHORT.replace("./train", "./train --x $SM_HP_A --cv=${cv} $HOME/data $ODD") + "static: {cv: 5}\n"
    (note,) = parse(file.encode(), FOLDER).notes
    assert note == (
        "command: $SM_HP_A, ${cv}, $HOME: commands are run without a shell, and variables reach the program as they are"
        " written. For their values write: bash -c './train --x $SM_HP_A --cv=${cv} $HOME/data $ODD'"
    )
    (note,) = parse(SHORT.replace("./train", "./train $HOME/data").encode(), FOLDER).notes
    assert note.endswith("""For their values write: bash -c './train $HOME/data "$@"' bash""")
    assert parse(SHORT.replace("./train", """bash -c './train $HOME/data "$@"' bash""").encode(), FOLDER).notes == ()
    (note,) = parse(SHORT.replace("./train", "./train $HOME/data").encode() + b"arguments: none\n", FOLDER).notes
    assert note.endswith("For their values write: bash -c './train $HOME/data'")
    assert parse(SHORT.replace("./train", "bash -c './train $SM_HP_A'").encode(), FOLDER).notes == ()
