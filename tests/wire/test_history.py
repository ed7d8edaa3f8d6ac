"""History of a SageMaker account, by the real client against our own server, and by the files that the aws CLI writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from rekindle.cli.main import main
from support.gateway import ALICE
from support.wire import Wire, changed, fresh, tuning_request

Json = dict[str, Any]


class Home:
    """A home of its own for the command line, and a profile that leads to the server."""

    def __init__(self, folder: Path, port: int, capfd: Any) -> None:
        self.folder = folder
        self._capfd = capfd
        (folder / "config").write_text(
            f"[profile lab]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{port}\n"
            f"aws_access_key_id = {ALICE.access_key}\naws_secret_access_key = {ALICE.secret_key}\n"
        )

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        self._capfd.readouterr()
        code = main(argv)
        return (code, *self._capfd.readouterr())

    def json(self, *argv: str) -> Any:
        code, out, err = self(*argv, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def home(tmp_path: Path, sagemaker: Wire, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    before = structlog.get_config()
    monkeypatch.setenv("REKINDLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield Home(tmp_path, sagemaker.port, capfd)
    structlog.configure(**before)


@pytest.fixture
def elsewhere(sagemaker: Wire) -> str:
    """A tuning job that has ended in the account, with statics and a category."""
    request = tuning_request(fresh("Elsewhere"), jobs=5)
    request["TrainingJobDefinition"]["StaticHyperParameters"] = {"epochs": "3", "quoted": '"red"'}
    kinds = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    kinds["CategoricalParameterRanges"] = [{"Name": "c", "Values": ['"a"', '"b"']}]
    name = sagemaker.create(request=request)
    sagemaker.finish(name)
    return name


def facts(trials: list[Json]) -> list[tuple[Any, ...]]:
    return [(t["values"], t["objective"], t["status"], t["objective_status"], t["started_at"], t["ended_at"]) for t in trials]


def wired(trials: list[Json]) -> list[tuple[Json, Any, str, str]]:
    ordered = sorted(trials, key=lambda t: t["CreationTime"])
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    return [(t["TunedHyperParameters"], t[metric]["Value"], t["TrainingJobStatus"], t["ObjectiveStatus"]) for t in ordered]


def test_a_live_account_becomes_history_and_a_parent(sagemaker: Wire, home: Home, elsewhere: str) -> None:
    record = home.json("import", "--from-aws", elsewhere, "--profile", "lab", "--name", "mine")
    assert (record["name"], record["status"]) == ("mine", "Completed")
    assert record["static"] == {"epochs": "3", "quoted": '"red"'}
    trials = home.json("trials", "mine")
    there = wired(sagemaker.trials(elsewhere))
    texts = [{name: str(value) for name, value in t["values"].items()} for t in trials]
    assert [(v, t["objective"], t["status"], t["objective_status"]) for v, t in zip(texts, trials, strict=True)] == there
    assert {r["name"] for r in record["ranges"]} == {"lr", "layers", "c"}


def test_history_comes_back_from_each_form(home: Home, elsewhere: str) -> None:
    home.json("import", "--from-aws", elsewhere, "--profile", "lab", "--name", "mine")
    mine = facts(home.json("trials", "mine"))
    for form, place in (("sagemaker", "sm"), ("dataframe", "frame.csv"), ("csv", "rows.csv"), ("jsonl", "rows.jsonl")):
        code, _, err = home("export", "mine", "--as", form, "--to", str(home.folder / place))
        assert code == 0, err
    description = str(home.folder / "sm" / "describe.json")
    for i, place in enumerate(("sm/training-jobs.json", "frame.csv", "rows.csv", "rows.jsonl")):
        home.json("import", description, str(home.folder / place), "--name", f"back-{i}")
        assert facts(home.json("trials", f"back-{i}")) == mine
        shown = home.json("show", f"back-{i}")
        assert shown["ranges"] == home.json("show", "mine")["ranges"]


@pytest.mark.parametrize(
    ("name", "profile", "words"),
    [
        ("nobody", "lab", "ResourceNotFound: Amazon SageMaker can't find a tuning job called nobody"),
        ("nobody", "none", "The config profile (none) could not be found"),
    ],
)
def test_what_the_account_refuses_is_told(home: Home, name: str, profile: str, words: str) -> None:
    code, out, err = home("import", "--from-aws", name, "--profile", profile)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (home.folder / "home").exists()


def pages_of(sagemaker: Wire, name: str, size: int) -> list[Json]:
    """The pages as files of the aws CLI: times as text, a token where another page follows."""
    pages, token = [], None
    while True:
        more = {} if token is None else {"NextToken": token}
        page = sagemaker.client.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, MaxResults=size, **more
        )
        page.pop("ResponseMetadata")
        pages.append(json.loads(json.dumps(page, default=lambda moment: moment.isoformat())))
        token = page.get("NextToken")
        if token is None:
            return pages


def files(home: Home, sagemaker: Wire, name: str) -> tuple[str, list[str]]:
    described = json.dumps(sagemaker.describe(name), default=lambda moment: moment.isoformat())
    (home.folder / "describe.json").write_text(described)
    paths = []
    for number, page in enumerate(pages_of(sagemaker, name, 2)):
        paths.append(str(home.folder / f"page{number}.json"))
        Path(paths[-1]).write_text(json.dumps(page))
    return str(home.folder / "describe.json"), paths


def test_pages_may_come_in_any_order_and_none_may_be_missing(sagemaker: Wire, home: Home, elsewhere: str) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    assert len(paths) == 3
    code, out, err = home("import", description, *paths[:2], "--name", "part")
    assert (code, out) == (2, "")
    assert "page1.json.NextToken" in err
    assert "another page follows" in err
    home.json("import", description, *reversed(paths), "--name", "whole")
    assert len(home.json("trials", "whole")) == 5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((0, 2), "TrainingJobStatusCounters: 5: the tuning job counted 5 training jobs; the files have 3"),
        ((0, 1, 1, 2), "it stands at"),
    ],
)
def test_a_page_in_the_middle_is_missed_and_one_twice_noticed(
    sagemaker: Wire, home: Home, elsewhere: str, given: tuple[int, ...], words: str
) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    code, out, err = home("import", description, *(paths[i] for i in given), "--name", "part")
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("changes", "status", "reason", "told"),
    [
        ({"HyperParameterTuningJobStatus": "Failed", "FailureReason": "All failed."}, "Failed", "All failed.", ""),
        ({"HyperParameterTuningJobStatus": "Stopped"}, "Stopped", None, ""),
        ({"HyperParameterTuningJobStatus": "InProgress"}, "Stopped", None, "note: the tuning job was InProgress"),
    ],
)
def test_a_tuning_job_stays_ended_as_it_was(
    sagemaker: Wire, home: Home, elsewhere: str, changes: Json, status: str, reason: str | None, told: str
) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    end = "2031-05-01T10:00:00+00:00"
    known = json.loads(Path(description).read_text())
    Path(description).write_text(json.dumps({**known, **changes, "HyperParameterTuningEndTime": end}))
    code, _, err = home("import", description, *paths, "--name", "was", "--json")
    assert (code, told in err) == (0, True)
    home("export", "was", "--as", "sagemaker", "--to", str(home.folder / "again"))
    again = [str(home.folder / "again" / f"{file}.json") for file in ("describe", "training-jobs")]
    home.json("import", *again, "--name", "back")
    for name in ("was", "back"):
        shown = home.json("show", name)
        assert (shown["status"], shown["failure_reason"], shown["ended_at"][:19]) == (status, reason, end[:19])


def test_a_training_job_that_ended_without_an_objective_is_still_completed(sagemaker: Wire, home: Home, elsewhere: str) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    page = changed(json.loads(Path(paths[0]).read_text()), f"{FIRST}.{METRIC}", None)
    Path(paths[0]).write_text(json.dumps(changed(page, f"{FIRST}.ObjectiveStatus", "Failed")))
    home.json("import", description, *paths, "--name", "was")
    states = [(t["status"], t["objective_status"]) for t in home.json("trials", "was")]
    assert states.count(("Completed", "Failed")) == 1
    for form, place in (("sagemaker", "sm"), ("csv", "rows.csv"), ("jsonl", "rows.jsonl")):
        home("export", "was", "--as", form, "--to", str(home.folder / place))
    for i, place in enumerate(("sm/training-jobs.json", "rows.csv", "rows.jsonl")):
        home.json("import", description, str(home.folder / place), "--name", f"back-{i}")
        assert facts(home.json("trials", f"back-{i}")) == facts(home.json("trials", "was"))


def test_a_description_may_have_its_objective_and_ranges_in_its_definition(sagemaker: Wire, home: Home, elsewhere: str) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    known = json.loads(Path(description).read_text())
    config, definition = known["HyperParameterTuningJobConfig"], known["TrainingJobDefinition"]
    definition["TuningObjective"] = config.pop("HyperParameterTuningJobObjective")
    definition["HyperParameterRanges"] = config.pop("ParameterRanges")
    Path(description).write_text(json.dumps(known))
    code, _, err = home("import", description, *paths, "--name", "inner")
    assert (code, err) == (0, "")
    assert len(home.json("trials", "inner")) == 5


def test_a_definition_that_is_alone_in_a_list_is_history_and_a_parent(sagemaker: Wire, home: Home) -> None:
    """As SDK v2 sends it of a tuner with one estimator by name."""
    request = tuning_request(fresh("Listed"), jobs=3)
    config, inner = request["HyperParameterTuningJobConfig"], request.pop("TrainingJobDefinition")
    members = {"TuningObjective": "HyperParameterTuningJobObjective", "HyperParameterRanges": "ParameterRanges"}
    own = {member: config.pop(name) for member, name in members.items()}
    name = sagemaker.create(request={**request, "TrainingJobDefinitions": [{**inner, **own, "DefinitionName": "only"}]})
    sagemaker.finish(name)
    description, paths = files(home, sagemaker, name)
    code, _, err = home("import", description, *paths, "--name", "listed")
    assert (code, err) == (0, "")
    assert len(home.json("trials", "listed")) == 3
    ranges = "lr: {min: 1e-5, max: 0.1, scaling: log}, layers: {min: 1, max: 5, type: integer}"
    (home.folder / "child.yaml").write_text(
        f"name: child\ncommand: 'true'\nobjective: {{metric: loss, goal: minimize, regex: 'loss=(.*)'}}\nranges: {{{ranges}}}\n"
        "static: {epochs: 3}\nlimits: {jobs: 1}\nwarm_start: {type: transfer, parents: [listed]}\n"
    )
    code, out, err = home("plan", str(home.folder / "child.yaml"))
    assert code == 0, err
    assert "results to learn from: 3 of 3 training jobs" in " ".join(out.split())


FIRST = "TrainingJobSummaries.0"
METRIC = "FinalHyperParameterTuningJobObjectiveMetric"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("TrainingJobSummaries", {}, "there is no list TrainingJobSummaries"),
        (FIRST, 3, "TrainingJobSummaries[1]: 3: not a table"),
        (f"{FIRST}.TunedHyperParameters", ["lr"], "TunedHyperParameters: ['lr']: not a table"),
        (f"{FIRST}.TunedHyperParameters.lr", "9", "TrainingJobSummaries[1].lr: '9': outside the range"),
        (f"{FIRST}.TunedHyperParameters.c", "z", "TrainingJobSummaries[1].c: 'z': not one of"),
        (
            f"{FIRST}.TunedHyperParameters.epochs",
            "4",
            "epochs: '4': the tuning job does not tune it, but ['layers', 'lr', 'c']",
        ),
        (f"{FIRST}.TrainingJobStatus", "completed", "TrainingJobStatus: 'completed': not one of Completed, Failed, Stopped"),
        (f"{FIRST}.{METRIC}", 3, f"{METRIC}: 3: not a table"),
        (f"{FIRST}.{METRIC}.MetricName", "f1", f"{METRIC}.MetricName: 'f1': the objective of the tuning job is 'loss'"),
        (f"{FIRST}.{METRIC}.Value", "good", f"{METRIC}.Value: 'good': not a number"),
        (f"{FIRST}.CreationTime", "yesterday", "CreationTime: 'yesterday': neither ISO 8601 nor seconds"),
        (f"{FIRST}.TrainingEndTime", 1709283600000, "1709283600000: not a time between 1970 and the year 9999"),
        (f"{FIRST}.CreationTime", -1e18, "CreationTime: -1e+18: not a time between 1970 and the year 9999"),
        (f"{FIRST}.TrainingEndTime", [], "TrainingEndTime: []: neither ISO 8601 nor seconds"),
    ],
)
def test_a_broken_page_names_its_place(sagemaker: Wire, home: Home, elsewhere: str, path: str, value: Any, words: str) -> None:
    description, paths = files(home, sagemaker, elsewhere)
    Path(paths[2]).write_text(json.dumps(changed(json.loads(Path(paths[2]).read_text()), path, value)))
    code, out, err = home("import", description, *paths, "--name", "broken")
    assert (code, out) == (2, ""), err
    assert words in err
    assert "page2.json" in err
    assert home("show", "broken")[0] == 3


@pytest.mark.parametrize(
    "text",
    [
        '{"HyperParameterTuningJobStatus": "Completed"}',
        '{"HyperParameterTuningJobStatus": 1, "HyperParameterTuningJobConfig": [], "HyperParameterTuningJobName": 3}',
        '{"HyperParameterTuningJobStatus": "Completed", "TrainingJobDefinitions": 5}',
        '{"HyperParameterTuningJobStatus": "Completed", "TrainingJobDefinition": [1]}',
        "[1]",
        "{",
        "[" * 100_000,
    ],
)
def test_a_broken_description_is_refused_in_one_line(home: Home, text: str) -> None:
    path = home.folder / "describe.json"
    path.write_text(text)
    code, out, err = home("import", str(path), str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "describe.json" in err
    assert not (home.folder / "home").exists()
