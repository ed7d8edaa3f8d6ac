"""Rows of CSV and JSON lines: what is written is read back; what cannot be read names file, line and value."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.api.translate.history import seconds
from rekindle.domain.errors import InvalidValue
from rekindle.engine.imports import Result
from rekindle.exchange.rows import FORMATS, read_results, write_results

WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=9)
MOMENTS = st.integers(1_500_000_000_000, 1_900_000_000_000).map(lambda ms: ms / 1000)


@st.composite
def results(draw: st.DrawFn) -> list[Result]:
    names = draw(st.lists(WORDS.filter(lambda n: n != "loss"), min_size=1, max_size=3, unique=True))
    return draw(st.lists(result(names), min_size=1, max_size=4))


@st.composite
def result(draw: st.DrawFn, names: list[str]) -> Result:
    values = {name: draw(WORDS) for name in names}
    objective = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
    started = draw(MOMENTS)
    ended, stopped = started + draw(st.integers(0, 9_000)), draw(st.booleans())
    return Result("", values, objective, None, started, ended, stopped, draw(st.none() | WORDS), draw(WORDS))


@given(results(), st.sampled_from(FORMATS))
def test_what_is_written_is_read_back(rows: list[Result], form: str) -> None:
    names = list(rows[0].values)
    text = write_results(rows, form, "loss", names)
    found = read_results(text, "old.jsonl" if form == "jsonl" else "old.csv", "loss", parameters=names)
    for row, back in zip(rows, found, strict=True):
        assert {name: back.values[name] for name in names} == row.values
        assert (back.objective, back.status) == (row.objective, row.status)
        # A fact whose column a hyperparameter needs gives way.
        for fact in ("name", "started_at", "ended_at"):
            assert getattr(back, fact) in (getattr(row, fact), None)
            if not set(names) & {"name", "started_at", "ended_at", "status"} and not names[0].startswith("Training"):
                assert getattr(back, fact) == getattr(row, fact)


@pytest.mark.parametrize("form", FORMATS)
def test_a_fact_that_is_called_like_a_hyperparameter_comes_back(form: str) -> None:
    rows = [Result("", {"name": "x", "status": "Failed"}, 0.5, name="job-1", stopped=True, completed=False)]
    text = write_results(rows, form, "loss", ["name", "status"])
    (found,) = read_results(text, _path(form), "loss", parameters=["name", "status"])
    assert (found.values["name"], found.values["status"]) == ("x", "Failed")
    assert (found.name, found.status, found.objective) == ("job-1", "Stopped", 0.5)


@pytest.mark.parametrize("form", FORMATS)
def test_a_fact_that_is_called_like_the_metric_comes_back(form: str) -> None:
    rows = [Result("", {"x": "1"}, 0.5, name="job-1", stopped=True), Result("", {"x": "2"}, None, name="job-2")]
    found = read_results(write_results(rows, form, "status", ["x"]), _path(form), "status", parameters=["x"])
    assert [(r.name, r.status, r.objective) for r in found] == [("job-1", "Stopped", 0.5), ("job-2", "Failed", None)]


FRAME = ["TrainingJobName", "TrainingJobStatus", "FinalObjectiveValue", "TrainingStartTime", "TrainingEndTime"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("parameters", [[*FRAME, "TrainingElapsedTimeSeconds"], [*FRAME, "objective", "value"]])
def test_so_do_all_where_hyperparameters_are_called_as_the_data_frame_calls_them(form: str, parameters: list[str]) -> None:
    values = {name: f"{at}" for at, name in enumerate(parameters)}
    rows = [Result("", values, 0.5, 10.0, 20.0, 30.0, name="job-1", stopped=True)]
    (found,) = read_results(write_results(rows, form, "loss", parameters), _path(form), "loss", parameters=parameters)
    assert {name: found.values[name] for name in parameters} == values
    told = (found.name, found.status, found.objective, found.started_at, found.ended_at)
    assert told == ("job-1", "Stopped", 0.5, 20.0, 30.0)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("metric", [*FRAME, "TrainingElapsedTimeSeconds", "TrainingJobDefinitionName", "created_at"])
def test_a_metric_that_is_called_like_a_column_is_what_comes_back(form: str, metric: str) -> None:
    made = Result("", {"CreationTime": "1"}, 0.5, 10.0, 20.0, 30.0, name="job-1", stopped=True)
    rows, names = [made, replace(made, objective=0.25, name="job-2")], ["CreationTime"]
    found, other = read_results(write_results(rows, form, metric, names), _path(form), metric, parameters=names)
    assert (found.objective, found.values["CreationTime"], found.name, found.ended_at) == (0.5, "1", "job-1", 30.0)
    assert (other.objective, other.name) == (0.25, "job-2")


def _path(form: str) -> str:
    return "a.jsonl" if form == "jsonl" else "a.csv"


@pytest.mark.parametrize("form", FORMATS)
def test_an_objective_that_is_called_like_a_hyperparameter_comes_back(form: str) -> None:
    rows = [Result("", {"loss": "hinge", "x": "1"}, 0.5), Result("", {"loss": "0.25", "x": "2"}, None)]
    text = write_results(rows, form, "loss", ["loss", "x"])
    found = read_results(text, _path(form), "loss", parameters=["loss", "x"])
    assert [(r.values["loss"], r.objective) for r in found] == [("hinge", 0.5), ("0.25", None)]


@pytest.mark.parametrize("form", FORMATS)
def test_a_value_of_nothing_written_comes_back_where_it_may_be_one(form: str) -> None:
    rows = [Result("", {"suffix": "", "x": "1"}, 0.5)]
    text, path = write_results(rows, form, "loss", ["suffix", "x"]), _path(form)
    (found,) = read_results(text, path, "loss", parameters=["suffix", "x"], blank=["suffix"])
    assert (found.values["suffix"], found.values["x"]) == ("", "1")
    (found,) = read_results(text, path, "loss", parameters=["suffix", "x"])
    assert "suffix" not in found.values


def test_rows_that_run_are_left_out_and_those_that_failed_have_no_objective() -> None:
    text = "x,status,loss\n1,InProgress,0.5\n2,failed,0.5\n3,STOPPED,0.5\n4,,0.5\n"
    found = read_results(text, "a.csv", "loss")
    assert [(r.values["x"], r.status, r.objective) for r in found] == [
        ("2", "Failed", None),
        ("3", "Stopped", 0.5),
        ("4", "Completed", 0.5),
    ]


def test_columns_may_be_mapped() -> None:
    found = read_results("rate,score\n0.1,2\n", "a.csv", "loss", "score", {"lr": "rate"})
    assert (found[0].values["lr"], found[0].objective) == ("0.1", 2.0)


@pytest.mark.parametrize(
    ("text", "path", "field", "value"),
    [
        ("x,loss\n1,2,3\n", "a.csv", "a.csv:2", ["3"]),
        ("x,loss,x\n1,2,3\n", "a.csv", "a.csv:1", "x"),
        ("x,loss,started_at\n1,2,yesterday\n", "a.csv", "a.csv:2.started_at", "yesterday"),
        ("x,loss,ended_at\n1,2,1e300\n", "a.csv", "a.csv:2.ended_at", "1e300"),
        ('{"x": 1, "loss": true}\n', "a.jsonl", "a.jsonl:1.loss", True),
        ("x,loss\n1,2\n1\n", "a.csv", "a.csv:3", ["1"]),
        ("x,status,loss\n1,Done,3\n", "a.csv", "a.csv:2.status", "Done"),
        ('x,loss\n1,2\n"a"b,1\n', "a.csv", "a.csv:3", ""),
        ("x,loss\n1,a\n", "a.csv", "a.csv:2.loss", "a"),
        ('{"x": 1, "loss": {}}\n', "a.jsonl", "a.jsonl:1.loss", {}),
        ('{"x": 1, "loss": 1}\n\n[]\n', "a.jsonl", "a.jsonl:3", "[]"),
        ("{\n", "a.jsonl", "a.jsonl:1", "{"),
        ('{"x": 1, "loss": 1, "x": 2}\n', "a.jsonl", "a.jsonl:1", "x"),
        ("[" * 100_000, "a.jsonl", "a.jsonl:1", "[" * 60),
        ('{"loss": 1' + "0" * 400 + "}", "a.jsonl", "a.jsonl:1.loss", 10**400),
        ("x,loss\n", "a.csv", "RESULTS", "a.csv"),
        ("x,y\n1,2\n", "a.csv", "objective", None),
        ("x;loss\n0,5;2\n", "a.csv", "a.csv:1", "x;loss"),
        ("x\tloss\n1\t2\n", "a.csv", "a.csv:1", "x\tloss"),
    ],
)
def test_what_cannot_be_read_names_its_place(text: str, path: str, field: str, value: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_results(text, path, "loss")
    assert (caught.value.field, caught.value.value) == (field, value)


def test_a_quote_that_nobody_closes_is_named_by_its_row_and_swallows_none() -> None:
    text = 'x,loss,note\n1,0.5,\n2,0.4,"4 in\n' + "3,0.3,\n" * 30_000
    with pytest.raises(InvalidValue, match=r"a\.csv:3: .*unexpected end of data.*quote"):
        read_results(text, "a.csv", "loss")
    with pytest.raises(InvalidValue, match=r"a\.csv:6: "):
        read_results(text.replace("\n2,", "\r\n\n\r\r\n2,"), "a.csv", "loss")


def test_empty_lines_before_the_columns_names_are_none_of_the_rows() -> None:
    (row,) = read_results("\n\r\nx,loss\n1,2\n", "a.csv", "loss")
    assert (row.where, row.values["x"], row.objective) == ("a.csv:4", "1", 2.0)
    with pytest.raises(InvalidValue, match=r"a\.csv:6: .*fewer values"):
        read_results("\n\nx,loss\n1,2\n\n1\n", "a.csv", "loss")
    with pytest.raises(InvalidValue, match=r"a\.csv:3: .*not separated by commas"):
        read_results("\n\nx;loss\n", "a.csv", "loss")


def test_a_number_with_a_comma_is_told_to_have_a_point() -> None:
    with pytest.raises(InvalidValue, match=r"a\.csv:2\.loss: '1,5': not a number\. Write a point in numbers"):
        read_results('x,loss\n1,"1,5"\n', "a.csv", "loss")


def test_a_number_is_what_a_log_may_have_for_one() -> None:
    with pytest.raises(InvalidValue, match=r"a\.csv:2\.loss: '1_0': not a number"):
        read_results("x,loss\n1,1_0\n", "a.csv", "loss")


def test_a_field_may_be_as_long_as_it_likes() -> None:
    rows = [Result("", {"x": "1"}, None, failure_reason="y" * 200_000)]
    (found,) = read_results(write_results(rows, "csv", "loss", ["x"]), "a.csv", "loss")
    assert found.failure_reason == rows[0].failure_reason


def test_times_are_iso_8601_or_seconds_and_a_column_that_is_a_hyperparameter_is_none() -> None:
    text = "x,loss,created_at,started_at,ended_at\n1,2,1700000000,1700000001.5,2023-11-14T22:13:30\n"
    (row,) = read_results(text, "a.csv", "loss")
    assert (row.created_at, row.started_at, row.ended_at) == (1.7e9, 1.7e9 + 1.5, 1.7e9 + 10)
    (row,) = read_results("started_at,loss\nlate,2\n", "a.csv", "loss", parameters=["started_at"])
    assert (row.started_at, row.values["started_at"]) == (None, "late")


def test_a_time_without_a_zone_is_utc_in_rows_and_in_sagemakers_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        (row,) = read_results("x,loss,created_at\n1,2,2023-11-14 22:13:20\n", "a.csv", "loss")
        assert row.created_at == seconds("2023-11-14T22:13:20") == seconds("2023-11-14T17:13:20-05:00") == 1.7e9
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_in_milliseconds_as_pandas_writes_it_is_told_to_be_that() -> None:
    row = '{"x": 1, "loss": 1, "TrainingStartTime": 1704067200000}\n'
    with pytest.raises(InvalidValue, match=r"a\.jsonl:1\.started_at: '1704067200000': .* not milliseconds; .*date_format"):
        read_results(row, "a.jsonl", "loss")


def test_rows_of_several_definitions_say_the_way_out() -> None:
    frame = "x,FinalObjectiveValue,TrainingJobDefinitionName\n1,2,small\n1,3,{}\n"
    assert len(read_results(frame.format("small"), "a.csv", "loss")) == 2
    assert len(read_results(frame.format("large"), "a.csv", "loss", parameters=["TrainingJobDefinitionName"])) == 2
    with pytest.raises(InvalidValue, match=r"a.csv.TrainingJobDefinitionName: \['large', 'small'\]: rows of several") as caught:
        read_results(frame.format("large"), "a.csv", "loss")
    assert "Import each by itself" in caught.value.hint


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidValue, match=r"--column: 'lrr': there is no such hyperparameter"):
        read_results("rate,loss\n1,2\n", "a.csv", "loss", None, {"lrr": "rate"}, ["lr"])
    with pytest.raises(InvalidValue, match=r"--column lr: 'rate': a.csv has no such column"):
        read_results("x,loss\n1,2\n", "a.csv", "loss", None, {"lr": "rate"})


@pytest.mark.parametrize(
    ("header", "odd"),
    [
        ("lr , loss", " loss"),
        ("lr ,loss", "lr "),
        ("lr, loss", " loss"),
        ("lr,loss, status", " status"),
        ("lr,loss,name ", "name "),
    ],
)
def test_a_column_with_spaces_around_its_name_is_told_and_not_left_unread(header: str, odd: str) -> None:
    text = f"{header}\n0.1,2{',Failed' * (header.count(',') - 1)}\n"
    with pytest.raises(InvalidValue) as caught:
        read_results(text, "a.csv", "loss", parameters=["lr"])
    assert (caught.value.field, caught.value.value) == ("a.csv", odd)
    assert caught.value.hint == f"Write {odd.strip()}, and no spaces around the commas below."


def test_spaces_around_the_name_of_a_column_are_no_matter_where_it_is_named_so_or_nothing_reads_it() -> None:
    (row,) = read_results("lr , loss, note\n0.1,2,x\n", "a.csv", "loss", " loss", {"lr": "lr "}, ["lr"])
    assert (row.values["lr"], row.objective) == ("0.1", 2.0)


@given(st.text(max_size=60), st.sampled_from(["a.csv", "a.jsonl"]))
def test_any_text_is_read_or_refused(text: str, path: str) -> None:
    with contextlib.suppress(InvalidValue):
        assert read_results(text, path, "loss") is not None


@pytest.mark.parametrize("text", ["x,loss\n1,2\n", '\n{"x": 1, "loss": 2}\n'])
def test_a_pipe_is_known_by_what_comes_through_it(text: str) -> None:
    (found,) = read_results(text, "/dev/fd/63", "loss")
    assert (found.values["x"], found.objective) == ("1", 2.0)


def test_csv_under_another_name_is_told_how_it_is_known() -> None:
    with pytest.raises(InvalidValue, match=r"A file of CSV needs a name that ends in \.csv"):
        read_results("x,loss\n1,2\n", "a.txt", "loss")
