"""Figures and pictures of a tuning job's progress."""

import io
from dataclasses import replace
from itertools import count

import pytest
from rich.console import Console

from rekindle.cli.displays import Lines, Picture, display_for, picture
from rekindle.cli.printing import duration
from rekindle.cli.progress import progress_of
from rekindle.cli.records import failure_causes, training_record
from rekindle.domain.decisions import Snapshot
from rekindle.domain.training_job import (
    Algorithm,
    ObjectiveStatus,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    TrainingSpec,
)
from rekindle.domain.tuning_job import Definition, Limits, Objective, StrategyName, TuningJob, TuningJobSpec
from rekindle.search.space import Categorical, Continuous

TRAINING = TrainingSpec(Algorithm(command="true"))
DEFINITION = Definition(TRAINING, Objective("acc", "maximize"), (Continuous("x", 0, 1), Categorical("k", ["a", "b"])))
SPEC = TuningJobSpec("job", StrategyName.RANDOM, Limits(10, 2), (DEFINITION,))
JOB = TuningJob(SPEC, Owner(), "uid", created_at=100.0, id=1)


class FakeClock:
    def now(self):
        return 200.0

    def sleep(self, seconds):
        raise AssertionError


def running(number, start=110.0):
    return TrainingJob(
        f"job-{number:03d}", Owner(), TRAINING, {}, 100.0, number, 1, "job", None, number,
        tuned={"x": f"0.{number}", "k": "a"}, started_at=start, objective_metric="acc",
    )  # fmt: skip


def ended(number, value=None, seconds=10.0, status=TrainingJobStatus.COMPLETED, **changes):
    objective = ObjectiveStatus.FAILED if value is None else ObjectiveStatus.SUCCEEDED
    job = running(number)
    return replace(
        job, status=status, ended_at=110.0 + seconds, finished_seq=number, objective_value=value, objective_status=objective,
        **changes,
    )  # fmt: skip


def failed(number, reason):
    return ended(number, status=TrainingJobStatus.FAILED, failure_reason=reason)


def test_counters_and_best():
    jobs = (ended(1, 0.5), ended(2, 0.9), failed(3, "no"), running(4), running(5))
    progress = progress_of(Snapshot(JOB, jobs), now=130.0)
    assert (progress.done, progress.running, progress.failed, progress.total) == (3, 2, 1, 10)
    assert progress.best is not None
    assert progress.best.number == 2
    assert progress.elapsed == 30.0


def test_time_left():
    jobs = (ended(1, 0.5), ended(2, 0.5), running(3, start=128.0), running(4, start=100.0))
    # 8 to come of 10 s each, of which 2 s and (at most) 10 s are spent, two at a time.
    assert progress_of(Snapshot(JOB, jobs), now=130.0).left == pytest.approx((80 - 12) / 2)
    assert progress_of(Snapshot(JOB, (running(1),)), now=130.0).left is None


def test_a_clock_that_was_set_back_adds_nothing_to_the_time_left():
    jobs = (ended(1, 0.5), ended(2, 0.5), running(3, start=4000.0))
    assert progress_of(Snapshot(JOB, jobs), now=130.0).left == pytest.approx(80 / 2)


def test_time_left_is_at_most_what_the_limit_leaves():
    job = replace(JOB, spec=replace(SPEC, limits=Limits(10, 2, 40)))
    assert progress_of(Snapshot(job, (ended(1, 0.5),)), now=130.0).left == 10.0
    assert progress_of(Snapshot(job, ()), now=300.0).left == 0.0


def test_a_line_for_each_end_and_no_line_twice():
    out = io.StringIO()
    lines = Lines(FakeClock(), out)
    one, two, three = ended(1, 0.5), ended(2, 0.9), failed(3, "usage: train.py [-h]\nout of memory")
    lines.update(Snapshot(JOB, (running(1),)))
    lines.update(Snapshot(JOB, (one, two, running(3))))
    lines.update(Snapshot(JOB, (one, two, running(3))))
    lines.update(Snapshot(JOB, (one, two, three)))
    assert out.getvalue().splitlines() == [
        "job: 10 training jobs, 2 at a time, Random search",
        "[ 1/10] job-001 acc=0.5 in 10 s  x=0.1 k=a  best so far",
        "[ 2/10] job-002 acc=0.9 in 10 s  x=0.2 k=a  best so far",
        "[ 3/10] job-003 Failed: out of memory in 10 s  x=0.3 k=a",
    ]


def test_what_a_tuning_job_of_which_nothing_runs_waits_for_is_told_once():
    out = io.StringIO()
    lines = Lines(FakeClock(), out)
    waiting = replace(JOB, waiting_for="waits for a free slot: 1 of 1 in use")
    lines.update(Snapshot(waiting, (running(1),)))
    for jobs in ((ended(1, 0.5),), (ended(1, 0.5),), (ended(1, 0.5), running(2)), (ended(1, 0.5), ended(2, 0.4))):
        lines.update(Snapshot(waiting, jobs))
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["job:", "[", "job:", "["]
    assert out.getvalue().splitlines()[2] == "job: the next training job waits for a free slot: 1 of 1 in use"


def test_beside_a_training_job_that_is_about_to_begin_nothing_is_said_to_wait():
    out = io.StringIO()
    lines = Lines(FakeClock(), out)
    waiting = replace(JOB, waiting_for="waits for a free slot: 0 of 1 in use")
    starting = running(1, start=None)
    lines.update(Snapshot(waiting, (starting,)))
    assert out.getvalue().count("\n") == 1
    lines.update(Snapshot(waiting, (replace(starting, secondary=SecondaryStatus.PENDING),)))
    assert out.getvalue().endswith("the next training job waits for a free slot: 0 of 1 in use\n")


@pytest.mark.parametrize(
    ("tty", "term", "kind"), [(True, "xterm-256color", Picture), (True, "dumb", Lines), (False, "xterm-256color", Lines)]
)
def test_a_terminal_that_cannot_renew_a_picture_has_lines(monkeypatch, tty, term, kind):
    out = io.StringIO()
    out.isatty = lambda: tty
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", term)
    assert type(display_for(FakeClock(), quiet=False, to_stderr=False)) is kind


@pytest.mark.parametrize(
    "kernels", [{"JPY_PARENT_PID": "1", "TERM": "xterm-256color"}, {"TERM": "xterm-color", "GIT_PAGER": "cat"}]
)
def test_a_notebook_has_lines_though_it_makes_a_terminal(monkeypatch, kernels):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", out)
    for name, value in kernels.items():
        monkeypatch.setenv(name, value)
    assert isinstance(display_for(FakeClock(), quiet=False, to_stderr=False), Lines)


def test_what_had_ended_before_is_a_number():
    out = io.StringIO()
    Lines(FakeClock(), out).update(Snapshot(JOB, (ended(1, 0.5), ended(2, 0.9))))
    assert out.getvalue() == "job: 10 training jobs, 2 at a time, Random search; 2 done before\n"


def test_a_job_without_its_metric_and_one_that_was_stopped():
    out = io.StringIO()
    lines = Lines(FakeClock(), out)
    lines.update(Snapshot(JOB))
    stopped = ended(2, 0.4, status=TrainingJobStatus.STOPPED, stopped_early=True)
    lines.update(Snapshot(JOB, (ended(1), stopped)))
    assert "job-001 Completed without a metric" in out.getvalue()
    assert "job-002 acc=0.4 (stopped early)" in out.getvalue()
    by_hand, late = (replace(stopped, name=f"job-00{n}", number=n, stopped_early=False) for n in (3, 4))
    late = replace(late, secondary=SecondaryStatus.MAX_RUNTIME_EXCEEDED)
    lines.update(Snapshot(JOB, (ended(1), stopped, by_hand, late)))
    assert "job-003 acc=0.4 (stopped) in" in out.getvalue()
    assert "job-004 acc=0.4 (stopped at its time limit) in" in out.getvalue()


def test_the_picture():
    training = replace(running(4, start=125.0), secondary=SecondaryStatus.TRAINING)
    waiting = replace(running(6, start=None), secondary=SecondaryStatus.PENDING)
    jobs = (ended(1, 0.5), ended(2, 0.9), failed(3, "no data"), training, running(5, start=None), waiting)
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    console.print(picture(Snapshot(replace(JOB, waiting_for="waits for 2 GPUs"), jobs), now=130.0))
    text = console.file.getvalue()
    for part in (
        "3/10 done, 3 running, 1 failed",
        "30 s",
        "left",
        "best acc=0.9",
        "x=0.2 k=a",
        "#4  running",
        "#5  starting",
        "#6  waiting",
        "Failed: no data",
        "job: the next training job waits for 2 GPUs",
    ):
        assert part in text


def test_the_picture_keeps_to_the_terminal_width():
    wild = replace(ended(1, 0.5), tuned={"x": "0.5", "k": "\x1b[31m[red]" + "long" * 100})
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    console.print(picture(Snapshot(JOB, (wild,)), now=130.0))
    assert max(map(len, console.file.getvalue().splitlines())) <= 60
    assert "[red]" in console.file.getvalue()
    assert "\x1b[31m" not in console.file.getvalue()


def test_results_stay_whole_where_the_picture_has_little_room():
    named = replace(ended(1, 12345.7), objective_metric="validation:loss", tuned={"x": "0.5", "k": "long" * 20})
    why = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"
    console = Console(width=40, file=io.StringIO(), force_terminal=False)
    console.print(picture(Snapshot(JOB, (named, failed(2, why), running(3))), now=130.0))
    lines = console.file.getvalue().splitlines()
    assert lines[-3].startswith("#1  validation:loss=12345.7  ")
    assert lines[-2].startswith("#2  Failed: RuntimeError: ")
    assert max(map(len, lines)) <= 40


def test_the_picture_keeps_to_a_few_lines_for_the_best_of_many_parameters():
    names = [f"parameter_{i:02d}" for i in range(30)]
    definition = replace(DEFINITION, ranges=tuple(Continuous(name, 0, 1) for name in names))
    job = replace(JOB, spec=replace(SPEC, definitions=(definition,)))
    best = replace(ended(1, 0.5), tuned=dict.fromkeys(names, "0.125"))
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    console.print(picture(Snapshot(job, (best, running(2))), now=130.0))
    lines = console.file.getvalue().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("best acc=0.5"))
    # Where the configuration is cut says so, and whose it is, stays.
    assert [line.strip().endswith("…") for line in lines[at : at + 2]] == [False, True]
    assert lines[at + 2].strip() == "job-001"
    assert [line.split()[0] for line in lines[at + 3 :]] == ["#1", "#2"]
    assert max(map(len, lines)) <= 60


def test_one_that_never_began_took_no_time_and_one_job_is_one():
    out = io.StringIO()
    lines = Lines(FakeClock(), out)
    job = replace(JOB, spec=replace(SPEC, limits=Limits(1, 1)))
    lines.update(Snapshot(job))
    never = replace(ended(1, status=TrainingJobStatus.STOPPED), started_at=None)
    lines.update(Snapshot(job, (never,)))
    assert out.getvalue().splitlines() == [
        "job: 1 training job, 1 at a time, Random search",
        "[1/1] job-001 Stopped  x=0.1 k=a",
    ]


def test_causes_that_differ_in_numbers_are_one():
    number = count(1)
    reasons = ["bad x=0.1, exit code: 1", "bad x=-2e-05, exit code: 1", "no GPU", "bad x=7, exit code: 1"]
    causes = failure_causes([ended(9, 0.5), *(failed(next(number), reason) for reason in reasons)])
    assert causes == [
        {"count": 3, "reason": "bad x=0.1, exit code: 1", "training_job": "job-001"},
        {"count": 1, "reason": "no GPU", "training_job": "job-003"},
    ]


def test_a_record_has_numbers_where_the_ranges_have():
    record = training_record(ended(1, 0.5), DEFINITION)
    assert record["values"] == {"x": 0.1, "k": "a"}
    assert record["seconds"] == 10.0
    assert record["started_at"] == "1970-01-01T00:01:50.000+00:00"
    assert training_record(ended(1, 0.5))["values"] == {"x": "0.1", "k": "a"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.96, "10.0 s"), (42, "42 s"), (187, "3:07"), (7387, "2:03:07"), (59.7, "1:00")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
