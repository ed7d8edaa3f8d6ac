"""Lists over the wire: defaults, orders, filters, pages and tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rekindle.engine.ports import RunState
from support.engine import Engine
from support.simulated import Script
from support.wire import Json, Wire, changed, error_of, training_request, tuning_request, wire

NAMES = ("delta", "Alpha", "charlie", "Bravo", "echo")


def tuning_names(page: Json) -> list[str]:
    return [s["HyperParameterTuningJobName"] for s in page["HyperParameterTuningJobSummaries"]]


def training_names(page: Json) -> list[str]:
    return [s["TrainingJobName"] for s in page["TrainingJobSummaries"]]


def moment(service: Wire) -> datetime:
    return datetime.fromtimestamp(service.engine.clock.now(), UTC)


def program(hyperparameters: Mapping[str, str]) -> Script:
    """Fails for one layer, has no value for two, else a loss of the number of layers."""
    layers = int(hyperparameters["layers"])
    if layers == 1:
        return Script((), 4.0, RunState.FAILED, "AlgorithmError: one layer")
    return Script((), 5.0) if layers == 2 else Script((float(layers),), 10.0 * layers)


@pytest.fixture(scope="module")
def listed() -> Iterator[Wire]:
    """Five tuning jobs a minute apart, in creation order NAMES; the first has run to its end, the second is stopping."""
    with wire(Engine(program)) as service:
        for name in NAMES:
            jobs, values = (5, ["1", "2", "3", "4", "5"]) if name == "delta" else (2, ["3", "4"])
            grid = [{"Name": "layers", "Values": values}]
            request = changed(tuning_request(name, jobs, 2), "HyperParameterTuningJobConfig.Strategy", "Grid")
            request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {"CategoricalParameterRanges": grid}
            service.create(request=request)
            service.engine.clock.at += 60
            if name == "delta":
                service.finish(name)
                service.engine.clock.at += 60
        service.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="Alpha")
        yield service


def test_tuning_jobs_come_by_name_ascending_ten_at_a_time(listed: Wire) -> None:
    page = listed.client.list_hyper_parameter_tuning_jobs()
    assert tuning_names(page) == ["Alpha", "Bravo", "charlie", "delta", "echo"]
    assert "NextToken" not in page


def test_a_summary_has_all_its_members(listed: Wire) -> None:
    shown = listed.describe("delta")
    page = listed.client.list_hyper_parameter_tuning_jobs(NameContains="delta")
    names = ("HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus", "CreationTime",
             "HyperParameterTuningEndTime", "LastModifiedTime", "TrainingJobStatusCounters",
             "ObjectiveStatusCounters")  # fmt: skip
    expected = {name: shown[name] for name in names}
    limits = shown["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert page["HyperParameterTuningJobSummaries"] == [{**expected, "Strategy": "Grid", "ResourceLimits": limits}]
    assert expected["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert expected["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 2}


ORDERS = [
    ({"SortBy": "Name"}, ["Alpha", "Bravo", "charlie", "delta", "echo"]),
    ({"SortBy": "CreationTime"}, list(NAMES)),
    ({"SortBy": "Status"}, ["delta", "charlie", "Bravo", "echo", "Alpha"]),
]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("options", "names"), ORDERS)
def test_tuning_jobs_by_each_key_both_ways(listed: Wire, options: Json, names: list[str], descending: bool) -> None:
    order = "Descending" if descending else "Ascending"
    found = tuning_names(listed.client.list_hyper_parameter_tuning_jobs(**options, SortOrder=order))
    assert found == (names[::-1] if descending else names)


def created(service: Wire, name: str) -> Any:
    return service.describe(name)["CreationTime"]


FILTERS: list[tuple[Callable[[Wire], Json], set[str]]] = [
    (lambda w: {"NameContains": "A"}, {"Alpha", "Bravo", "charlie", "delta"}),
    (lambda w: {"NameContains": "zz"}, set()),
    (lambda w: {"StatusEquals": "Completed"}, {"delta"}),
    (lambda w: {"StatusEquals": "Stopping"}, {"Alpha"}),
    (lambda w: {"StatusEquals": "InProgress"}, {"Bravo", "charlie", "echo"}),
    (lambda w: {"StatusEquals": "Deleting"}, set()),
    (lambda w: {"CreationTimeAfter": created(w, "charlie")}, {"Bravo", "echo"}),
    (lambda w: {"CreationTimeBefore": created(w, "charlie")}, {"delta", "Alpha"}),
    (lambda w: {"CreationTimeAfter": created(w, "delta"), "CreationTimeBefore": created(w, "Bravo")}, {"Alpha", "charlie"}),
    (lambda w: {"LastModifiedTimeAfter": w.describe("delta")["LastModifiedTime"]}, {"Alpha", "charlie", "Bravo", "echo"}),
    (lambda w: {"LastModifiedTimeBefore": created(w, "Alpha")}, {"delta"}),
    (lambda w: {"NameContains": "a", "StatusEquals": "InProgress"}, {"Bravo", "charlie"}),
]


@pytest.mark.parametrize(("options", "names"), FILTERS)
def test_tuning_jobs_by_filter(listed: Wire, options: Callable[[Wire], Json], names: set[str]) -> None:
    assert set(tuning_names(listed.client.list_hyper_parameter_tuning_jobs(**options(listed)))) == names


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("key", ["Name", "CreationTime", "Status"])
def test_pages_of_any_size_have_every_job_once(listed: Wire, key: str, size: int) -> None:
    pages = list(
        listed.client.get_paginator("list_hyper_parameter_tuning_jobs").paginate(
            SortBy=key, PaginationConfig={"PageSize": size}
        )
    )
    found = [name for page in pages for name in tuning_names(page)]
    assert sorted(found) == sorted(NAMES)
    assert all(len(tuning_names(page)) == size for page in pages[:-1])
    assert tuning_names(pages[-1])


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("key", ["Name", "CreationTime", "Status"])
def test_pages_hold_while_jobs_come_and_go(key: str, order: str) -> None:
    with wire() as service:
        lasting = [service.create(name=f"m{i}") for i in range(6)]
        leaving = service.create(name="m9")
        service.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=leaving)
        service.finish(leaving)
        seen, token = [], None
        for number in itertools.count():
            options = {"NextToken": token} if token else {}
            page = service.client.list_hyper_parameter_tuning_jobs(SortBy=key, SortOrder=order, MaxResults=2, **options)
            seen += tuning_names(page)
            token = page.get("NextToken")
            if token is None:
                break
            if number < 3:
                service.create(name=f"a{number}")
                service.create(name=f"z{number}")
            if number == 1:
                service.client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=leaving)
        assert [name for name in seen if name in lasting] == (lasting if order == "Ascending" else lasting[::-1])
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "%", "ünicode", "e30"])
@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("list_hyper_parameter_tuning_jobs", {}),
        ("list_training_jobs", {}),
        ("list_training_jobs_for_hyper_parameter_tuning_job", {"HyperParameterTuningJobName": "delta"}),
        ("search", {"Resource": "TrainingJob"}),
    ],
)
def test_a_token_of_nobodys_is_refused(listed: Wire, operation: str, arguments: Json, token: str) -> None:
    code, message = error_of(getattr(listed.client, operation), **arguments, NextToken=token)
    assert code == "ValidationException"
    assert message.startswith("nextToken: ")


def test_a_token_of_another_order_is_refused(listed: Wire) -> None:
    token = listed.client.list_hyper_parameter_tuning_jobs(MaxResults=1)["NextToken"]
    code, message = error_of(listed.client.list_hyper_parameter_tuning_jobs, NextToken=token, SortOrder="Descending")
    assert code == "ValidationException"
    assert "another order" in message


@pytest.mark.parametrize(
    ("operation", "arguments", "filters"),
    [
        ("list_hyper_parameter_tuning_jobs", {}, {"NameContains": "a"}),
        ("list_hyper_parameter_tuning_jobs", {}, {"CreationTimeAfter": 1.0}),
        (
            "list_training_jobs_for_hyper_parameter_tuning_job",
            {"HyperParameterTuningJobName": "delta"},
            {"StatusEquals": "Failed"},
        ),
        ("list_training_jobs", {}, {"StatusEquals": "Completed"}),
    ],
)
def test_a_token_of_another_filter_is_refused(listed: Wire, operation: str, arguments: Json, filters: Json) -> None:
    ask = getattr(listed.client, operation)
    token = ask(MaxResults=1, **arguments)["NextToken"]
    code, message = error_of(ask, MaxResults=1, NextToken=token, **arguments, **filters)
    assert code == "ValidationException"
    assert message.startswith("nextToken: ")
    assert "another filter" in message
    assert ask(MaxResults=2, NextToken=token, **arguments)


def test_a_token_of_another_list_is_refused(listed: Wire) -> None:
    trials, all_ = listed.client.list_training_jobs_for_hyper_parameter_tuning_job, listed.client.list_training_jobs
    upwards = {"MaxResults": 1, "SortBy": "CreationTime", "SortOrder": "Ascending"}
    of_delta = trials(HyperParameterTuningJobName="delta", **upwards)["NextToken"]
    of_all = all_(**upwards)["NextToken"]
    for refused in (
        lambda: error_of(trials, HyperParameterTuningJobName="Alpha", NextToken=of_delta, **upwards),
        lambda: error_of(trials, HyperParameterTuningJobName="delta", NextToken=of_all, **upwards),
        lambda: error_of(all_, NextToken=of_delta, **upwards),
    ):
        code, message = refused()
        assert (code, "another list" in message) == ("ValidationException", True)


# --- a tuning job's training jobs ----------------------------------------------------------------------------------------


def layers(page: Json) -> list[str]:
    return [s["TunedHyperParameters"]["layers"] for s in page["TrainingJobSummaries"]]


TRIAL_ORDERS = [
    ({"SortBy": "Name"}, lambda t: t["TrainingJobName"]),
    ({"SortBy": "CreationTime"}, lambda t: (t["CreationTime"], t["TrainingJobName"])),
    ({"SortBy": "Status"}, lambda t: (t["TrainingJobStatus"], t["TrainingJobName"])),
]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("options", "key"), TRIAL_ORDERS)
def test_trials_by_each_key_both_ways(listed: Wire, options: Json, key: Callable[[Json], Any], descending: bool) -> None:
    order = "Descending" if descending else "Ascending"
    call = listed.client.list_training_jobs_for_hyper_parameter_tuning_job
    found = call(HyperParameterTuningJobName="delta", SortOrder=order, **options)["TrainingJobSummaries"]
    assert len(found) == 5
    assert found == sorted(found, key=key, reverse=descending)


@pytest.mark.parametrize("descending", [False, True])
def test_by_objective_only_those_with_one_are_listed(listed: Wire, descending: bool) -> None:
    order = "Descending" if descending else "Ascending"
    trials = listed.trials("delta", SortBy="FinalObjectiveMetricValue", SortOrder=order, PaginationConfig={"PageSize": 2})
    values = [t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for t in trials]
    assert values == ([5.0, 4.0, 3.0] if descending else [3.0, 4.0, 5.0])


@pytest.mark.parametrize(("status", "count"), [("Completed", 4), ("Failed", 1), ("InProgress", 0), ("Stopped", 0)])
def test_trials_by_status_without_empty_pages(listed: Wire, status: str, count: int) -> None:
    pages = listed.client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName="delta", StatusEquals=status, PaginationConfig={"PageSize": 1}
    )
    sizes = [len(page["TrainingJobSummaries"]) for page in pages]
    assert sizes == [1] * count or (count == 0 and sizes == [0])


def test_trials_come_by_name_and_only_the_jobs_own(listed: Wire) -> None:
    page = listed.client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="DELTA")
    names = training_names(page)
    assert names == sorted(names)
    assert [name[:10] for name in names] == [f"delta-00{i}-" for i in range(1, 6)]


# --- training jobs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> Iterator[Wire]:
    """Six training jobs a minute apart: the first three have ended, the second of them by failing."""
    with wire(Engine(program)) as service:
        for number, layers in enumerate((3, 1, 3, 3, 3, 3)):
            request = training_request(f"t{number}", HyperParameters={"layers": str(layers)})
            service.client.create_training_job(**request)
            if number < 3:
                service.finish_training(f"t{number}")
            service.engine.clock.at += 60
        yield service


def test_training_jobs_come_newest_first(trained: Wire) -> None:
    assert training_names(trained.client.list_training_jobs()) == ["t5", "t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("Name", ["t0", "t1", "t2", "t3", "t4", "t5"]),
        ("CreationTime", ["t0", "t1", "t2", "t3", "t4", "t5"]),
        ("Status", ["t0", "t2", "t1", "t3", "t4", "t5"]),
    ],
)
def test_training_jobs_by_each_key_both_ways(trained: Wire, key: str, names: list[str], descending: bool) -> None:
    order = "Descending" if descending else "Ascending"
    found = training_names(trained.client.list_training_jobs(SortBy=key, SortOrder=order))
    assert found == (names[::-1] if descending else names)


def test_the_page_is_taken_before_its_status_is_looked_at(trained: Wire) -> None:
    page = trained.client.list_training_jobs(MaxResults=3, StatusEquals="Completed")
    assert training_names(page) == []
    page = trained.client.list_training_jobs(MaxResults=3, StatusEquals="Completed", NextToken=page["NextToken"])
    assert training_names(page) == ["t2", "t0"]
    assert "NextToken" not in page


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"NameContains": "T1"}, ["t1"]),
        ({"StatusEquals": "Failed"}, ["t1"]),
        ({"StatusEquals": "Deleting"}, []),
        ({"WarmPoolStatusEquals": "Available"}, []),
        ({"TrainingPlanArnEquals": f"arn:aws:sagemaker:us-east-1:111111111111:training-plan/{'p' * 9}"}, []),
    ],
)
def test_training_jobs_by_filter(trained: Wire, options: Json, names: list[str]) -> None:
    assert training_names(trained.client.list_training_jobs(**options)) == names


def test_training_jobs_by_time(trained: Wire) -> None:
    middle = trained.describe_training("t2")["CreationTime"]
    call = trained.client.list_training_jobs
    assert training_names(call(CreationTimeAfter=middle)) == ["t5", "t4", "t3"]
    assert training_names(call(CreationTimeBefore=middle)) == ["t1", "t0"]
    assert training_names(call(LastModifiedTimeBefore=middle)) == ["t1", "t0"]
    assert training_names(call(LastModifiedTimeAfter=moment(trained))) == []


@pytest.mark.parametrize("fraction", [0.0004, 0.0006])
def test_a_filter_by_time_means_the_time_that_is_shown_of_a_job(fraction: float) -> None:
    # A job's time is kept finer than it is shown: one with the time that is given is neither before nor after it.
    with wire(Engine(program)) as service:
        for name in ("t0", "t1", "t2"):
            service.engine.clock.at = round(service.engine.clock.at) + 1 + fraction
            service.create(name=name)
            service.client.create_training_job(**training_request(name))
        for kind, names in (("hyper_parameter_tuning", tuning_names), ("training", training_names)):
            call = getattr(service.client, f"list_{kind}_jobs")
            shown = next(summaries[0] for summaries in call(NameContains="t1").values() if isinstance(summaries, list))
            for key in ("CreationTime", "LastModifiedTime"):
                assert names(call(**{f"{key}After": shown[key]})) == ["t2"]
                assert names(call(**{f"{key}Before": shown[key]})) == ["t0"]


def test_a_training_summary_has_all_its_members(trained: Wire) -> None:
    shown = trained.describe_training("t0")
    names = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime", "TrainingJobStatus",
             "SecondaryStatus")  # fmt: skip
    found = trained.client.list_training_jobs(NameContains="t0")["TrainingJobSummaries"]
    assert found == [{name: shown[name] for name in names}]
    running = trained.client.list_training_jobs(NameContains="t5")["TrainingJobSummaries"][0]
    assert "TrainingEndTime" not in running


def test_lists_show_what_tuning_jobs_launched_too(listed: Wire) -> None:
    names = training_names(listed.client.list_training_jobs(NameContains="delta", MaxResults=100))
    assert len(names) == 5


# --- while jobs come and go --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("key", ["Name", "CreationTime", "Status"])
def test_pages_of_training_jobs_hold_while_jobs_come_and_go(key: str, order: str) -> None:
    with wire(Engine(program)) as service:
        create = service.client.create_training_job
        for number in range(6):
            create(**training_request(f"m{number}", HyperParameters={"layers": "3"}))
        create(**training_request("m9", HyperParameters={"layers": "3"}))
        service.finish_training("m9")
        seen, token = [], None
        for number in itertools.count():
            options = {"NextToken": token} if token else {}
            page = service.client.list_training_jobs(SortBy=key, SortOrder=order, MaxResults=2, **options)
            seen += training_names(page)
            token = page.get("NextToken")
            if token is None:
                break
            if number < 3:
                create(**training_request(f"a{number}", HyperParameters={"layers": "3"}))
                create(**training_request(f"z{number}", HyperParameters={"layers": "3"}))
            if number == 1:
                service.client.delete_training_job(TrainingJobName="m9")
        assert len(seen) == len(set(seen))
        assert {f"m{i}" for i in range(6)} <= set(seen)


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("key", ["Name", "CreationTime", "FinalObjectiveMetricValue"])
def test_pages_of_trials_hold_while_the_job_runs(key: str, order: str) -> None:
    """What is there throughout is shown once, whatever is launched and ends between two pages."""
    with wire() as service:
        name = service.create(jobs=12, parallel=3)
        service.work(lambda: len([t for t in service.trials(name) if t["ObjectiveStatus"] == "Succeeded"]) >= 4)
        throughout = {t["TrainingJobName"] for t in service.trials(name, SortBy=key)}
        seen, token, running = [], None, True
        while running or token:
            options = {"NextToken": token} if token else {}
            page = service.client.list_training_jobs_for_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=name, SortBy=key, SortOrder=order, MaxResults=1, **options
            )
            seen += training_names(page)
            token = page.get("NextToken")
            running = False
            before = len(service.trials(name))
            if before < 12:
                service.work(lambda known=before: len(service.trials(name)) > known)
        assert len(seen) == len(set(seen))
        assert throughout <= set(seen)
