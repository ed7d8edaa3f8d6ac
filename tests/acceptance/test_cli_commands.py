"""The command line over the real engine, store and executor: whole tuning jobs of a trainer that takes milliseconds."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
import structlog

from rekindle.cli.main import main
from rekindle.cli.metrics import _read_lines
from rekindle.domain.scanning import LINE_LIMIT

TRAINER = """\
import sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
x = float(given["--x"])
if given.get("--fail") == "yes":
    sys.exit(f"no such data: {x}")
print("loss=9.5")
print(f"loss={(x - 0.3) ** 2 + (given['--k'] == 'b')}")
"""
JOB = f"""\
name: NAME
command: {sys.executable} -I -S train.py
objective: {{metric: loss, goal: minimize, regex: 'loss=([0-9.e-]+)'}}
ranges:
  x: {{min: -1, max: 2}}
  k: [a, b]
static: {{fail: no}}
strategy: random
limits: {{jobs: 6, parallel: 3}}
"""


class Cli:
    """Runs commands in this process, as the real entry point does."""

    def __init__(self, folder, capfd):
        self.folder = folder
        self._capfd = capfd

    def job(self, name, old="", new="", extra=""):
        text = JOB.replace("NAME", name)
        assert old in text
        (self.folder / "train.py").write_text(TRAINER)
        path = self.folder / f"{name}.yaml"
        path.write_text(text.replace(old, new, 1) + extra if old else text + extra)
        return str(path)

    def __call__(self, *argv):
        self._capfd.readouterr()
        code = main(argv)
        out, err = self._capfd.readouterr()
        return code, out, err

    def ok(self, *argv):
        code, out, err = self(*argv)
        assert code == 0, err
        return out

    def json(self, *argv):
        return json.loads(self.ok(*argv, "--json"))

    def refused(self, code, *argv, shows=""):
        """The one line of an error; before it nothing is shown, but for the rules of warm start."""
        found, out, err = self(*argv)
        assert (found, out != "", shows in out) == (code, shows != "", True), err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err


@pytest.fixture(autouse=True)
def logging_as_before():
    """The command line sends log lines to stderr; other tests have their own way."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def cli(folder, capfd, monkeypatch):
    monkeypatch.setenv("REKINDLE_HOME", str(folder / "home"))
    return Cli(folder, capfd)


@pytest.fixture
def done(cli):
    """A tuning job that has completed."""
    if cli("show", "done")[0] != 0:
        cli.ok("tune", cli.job("done"), "--quiet")
    return "done"


def test_plan_shows_what_would_run_and_stores_nothing(cli):
    out = cli.ok("plan", cli.job("planned"))
    for text in ("planned", "minimize loss", "Random", "continuous", "categorical", "Linear (auto)", "loss=([0-9.e-]+)"):
        assert text in out
    assert "train.py --fail no --k" in out
    assert "SM_HP_X=" in out
    cli.refused(3, "show", "planned")


def test_a_job_file_out_of_a_pipe_starts_from_the_current_folder(cli, monkeypatch):
    """``rekindle plan <(generate)``: the folder of ``/dev/fd/63`` is nobody's."""
    job = Path(cli.job("piped"))
    monkeypatch.chdir(cli.folder)
    reading, writing = os.pipe()
    os.write(writing, job.read_bytes())
    os.close(writing)
    assert re.search(rf"^source +{cli.folder}$", cli.ok("plan", f"/dev/fd/{reading}"), re.M)
    os.close(reading)


def test_a_job_file_out_of_a_pipe_is_not_named_where_the_rules_are_shown_once_more(cli, done):
    """By then ``/dev/fd/63`` holds nothing."""
    file = cli.job("heir", "  k: [a, b]\n", "", extra=f"warm_start: {{type: transfer, parents: [{done}, nobody]}}\n")
    reading, writing = os.pipe()
    os.write(writing, Path(file).read_bytes())
    os.close(writing)
    assert "; `rekindle plan` shows each of them." in cli.refused(2, "tune", f"/dev/fd/{reading}")
    os.close(reading)


@pytest.mark.parametrize(
    ("argv", "written"),
    [
        (("plan", "PIPE"), JOB.replace("NAME", "piped")),
        (("import", "JOB", "PIPE"), "x,k,loss\n0.1,a,1\n"),
        (("metrics", "JOB", "--log", "PIPE"), "loss=2\n"),
    ],
)
def test_before_a_named_pipe_is_read_somebody_who_waits_is_told_so(cli, argv, written):
    """Where nobody writes to it the command would wait without a word."""
    pipe, job = cli.folder / f"{argv[0]}.csv", cli.job("waiting")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(written,))
    writer.start()
    code, _, err = cli(*({"PIPE": str(pipe), "JOB": job}.get(word, word) for word in argv))
    writer.join()
    assert (code, err) == (0, f"{pipe} is a pipe: waiting for what another program writes to it; Ctrl-C ends this\n")


def test_tune_writes_a_line_for_each_training_job_and_a_summary(cli):
    out = cli.ok("tune", cli.job("lines"))
    lines = out.splitlines()
    assert lines[0] == "lines: 6 training jobs, 3 at a time, Random search"
    assert [line[:5] for line in lines[1:7]] == [f"[{n}/6]" for n in range(1, 7)]
    assert all("loss=" in line and "x=" in line and "k=" in line for line in lines[1:7])
    assert "best so far" in lines[1]
    assert "lines: Completed: 6 training jobs, 0 failed." in out
    assert "model.tar.gz" in out
    assert "rekindle trials lines --sort objective" in out
    assert "\x1b" not in out


def test_hyperparameters_that_would_share_a_variable_are_told(cli):
    """Both are legal, as at SageMaker; of the variable's two values a program would see one."""
    file = cli.job("shared", "  k: [a, b]", "  k: [a, b]\n  K: {min: 1, max: 2}\n  FAIL: [1, 2]")
    told = [
        "note: hyperparameters: 'k' and 'K' share the variable SM_HP_K, which holds one of them only. Let their names differ",
        "note: hyperparameters: 'FAIL' and 'fail' share the variable SM_HP_FAIL, which holds one of them only.",
    ]
    out = cli.ok("plan", file)
    assert all(note in out for note in told)
    code, out, err = cli("plan", file, "--json")
    assert (code, "K" in json.loads(out)["first_training_job"]["values"]) == (0, True)
    assert all(note in err for note in told)
    code, _, err = cli("tune", file, "--detach")
    assert all(note in err for note in told)
    assert "share the variable" not in cli.ok("plan", cli.job("apart"))


def test_what_a_job_file_may_have_meant_otherwise_is_told_before_it_runs(cli):
    file = cli.job("otherwise", "  k: [a, b]", "  k: [0, 1]")
    note = "note: ranges.k: [0, 1] is a choice of two values. For a range, "
    assert note in cli.ok("plan", file)
    code, out, err = cli("plan", file, "--json")
    assert (code, json.loads(out)["name"], err.startswith(note)) == (0, "otherwise", True)
    code, _, err = cli("tune", file, "--detach")
    assert (code, err.startswith(note)) == (0, True)


def test_a_large_source_folder_is_told_before_anything_is_copied(cli, tmp_path):
    file, large = cli.job("bulky", "command:", f"source: {tmp_path}\ncommand:"), tmp_path
    (large / "data").mkdir()
    (large / "train.py").write_text(TRAINER)
    for name, size in (("a", 150_000_000), ("b", 149_000_000)):
        with open(large / "data" / name, "wb") as sparse:
            sparse.truncate(size)
    told = (
        f"note: source: '{large}': 3 files, 299 MB, 299 MB of it in 'data', are copied for each training job before it starts"
    )
    out = cli.ok("plan", file)
    assert "3 files, 299 MB, for each training job" in out
    assert f"{told}, and kept (1.8 GB for 6 of them). Name a smaller folder as `source`" in out
    _, out, err = cli("plan", file, "--json")
    assert json.loads(out)["source_copy"] == {"files": 3, "size": 299_000_000 + len(TRAINER), "whole": True}
    assert err.startswith(told)
    assert cli("tune", file, "--detach")[2].startswith(told)
    assert cli("tune", file, "--name", "bulky-too", "--detach", "--quiet")[2] == ""
    cli.ok("stop", "bulky")
    cli.ok("stop", "bulky-too")
    assert "note:" not in cli.ok("plan", cli.job("small"))


def test_the_model_is_where_the_summary_says(cli, done):
    best = cli.json("best", done)["best"]
    assert best["model"].startswith("file://")
    assert Path(best["model"].removeprefix("file://")).is_file()
    assert best["model"].removeprefix("file://") in cli.ok("best", done)


def test_every_command_tells_the_same_story(cli, done):
    trials = cli.json("trials", done)
    shown, best = cli.json("show", done), cli.json("best", done)["best"]
    assert [t["number"] for t in trials] == [1, 2, 3, 4, 5, 6]
    assert shown["training_jobs"]["completed"] == 6
    assert shown["objectives"] == {"succeeded": 6, "pending": 0, "failed": 0}
    assert best == shown["best"] == min(trials, key=lambda t: t["objective"])
    for t in trials:
        assert t["objective"] == pytest.approx((t["values"]["x"] - 0.3) ** 2 + (t["values"]["k"] == "b"))
    listed = next(j for j in cli.json("jobs") if j["name"] == done)
    assert listed["best_objective"] == best["objective"]
    assert listed["status"] == shown["status"] == "Completed"


def test_trials_sort_by_anything(cli, done):
    by_objective = [t["objective"] for t in cli.json("trials", done, "--sort", "objective")]
    assert by_objective == sorted(by_objective)
    by_x = [t["values"]["x"] for t in cli.json("trials", done, "--sort", "x", "--reverse")]
    assert by_x == sorted(by_x, reverse=True)
    assert len(cli.json("trials", done, "--limit", "2")) == 2
    assert "'objective'" in cli.refused(2, "trials", done, "--sort", "objectiv")


def test_trials_in_some_states(cli, folder):
    (folder / "rows.csv").write_text("x,k,status,loss\n0,a,,1\n0.1,b,Failed,\n0.2,a,Stopped,2\n")
    cli.ok("import", cli.job("states"), str(folder / "rows.csv"))
    found = lambda *argv: [t["status"] for t in cli.json("trials", "states", *argv)]  # noqa: E731
    assert found("--status", "failed") == ["Failed"]
    assert found("--status", "Failed", "--status", "Completed") == ["Completed", "Failed"]
    assert found("--status", "Stopping") == []
    assert found("--status", "Stopped", "--status", "Completed", "--sort", "x", "--reverse", "--limit", "1") == ["Stopped"]
    assert len(cli.ok("trials", "states", "--status", "Failed", "--csv").splitlines()) == 2
    assert cli.ok("trials", "states", "--status", "InProgress") == "No training jobs in this state.\n"
    told = cli.refused(2, "trials", "states", "--status", "Fail")
    assert "--status: 'Fail': not one of InProgress, Completed, Failed, Stopping, Stopped" in told


def test_a_home_that_was_moved_tells_where_models_are_now(cli, folder, tmp_path, monkeypatch):
    home = tmp_path / "before"
    monkeypatch.setenv("REKINDLE_HOME", str(home))
    job = cli.job("models")
    (folder / "train.py").write_text("import os\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').close()\n" + TRAINER)
    cli.ok("tune", job)
    before = cli.json("best", "models")["best"]["model"]
    assert before.startswith(home.as_uri())
    home.rename(tmp_path / "after")
    monkeypatch.setenv("REKINDLE_HOME", str(tmp_path / "after"))
    now = before.replace("/before/", "/after/")
    assert Path(now.removeprefix("file://")).is_file()
    assert cli.json("best", "models")["best"]["model"] == cli.json("show", "models")["best"]["model"] == now
    assert now in [t["model"] for t in cli.json("trials", "models")]
    assert now.removeprefix("file://") in "".join(cli.ok("show", "models").split())
    cli.ok("report", "models", "--to", str(folder / "models.html"))
    assert now in (folder / "models.html").read_text()
    Path(now.removeprefix("file://")).unlink()
    assert cli.json("best", "models")["best"]["model"] == before


def test_trials_as_csv(cli, done):
    rows = list(csv.DictReader(io.StringIO(cli.ok("trials", done, "--csv"))))
    trials = cli.json("trials", done)
    assert [float(r["x"]) for r in rows] == [t["values"]["x"] for t in trials]
    assert [r["name"] for r in rows] == [t["name"] for t in trials]


def test_trials_as_csv_with_a_hyperparameter_that_is_called_like_a_column(cli, folder):
    job = cli.job("columns", "x: {min: -1, max: 2}\n  k: [a, b]", "model: [svm, tree]\n  status: {values: [1, 2]}")
    (folder / "old.csv").write_text("model,status,loss\nsvm,1,0.5\ntree,2,0.7\n")
    cli.ok("import", job, str(folder / "old.csv"))
    text = cli.ok("trials", "columns", "--csv")
    header, *rows = csv.reader(io.StringIO(text))
    assert sorted(set(header)) == sorted(header)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(r["model"], r["status"], r["TrainingJobStatus"]) for r in found] == [
        ("svm", "1", "Completed"),
        ("tree", "2", "Completed"),
    ]
    (folder / "again.csv").write_text(text)
    again = cli.json("import", job, str(folder / "again.csv"), "--name", "again")
    assert (again["best"]["values"], again["best"]["objective"]) == ({"model": "svm", "status": "1"}, 0.5)


def test_tables_hold_the_same_names(cli, done):
    out = cli.ok("trials", done)
    assert all(t["name"] in out for t in cli.json("trials", done))
    assert done in cli.ok("jobs")
    assert "6 completed" in cli.ok("show", done)


def test_jobs_filter(cli, done):
    assert [j["name"] for j in cli.json("jobs", "--contains", "DON", "--limit", "1")] == [done]
    assert cli.json("jobs", "--status", "failed", "--contains", done) == []
    assert "InProgress" in cli.refused(2, "jobs", "--status", "finished")
    nothing = cli.ok("jobs", "--status", "failed", "--contains", done)
    assert nothing == f"No tuning job in the state Failed and with {done!r} in its name. `rekindle jobs` lists all there are.\n"


def test_logs(cli, done):
    name = cli.json("trials", done)[0]["name"]
    log = cli.ok("logs", name)
    assert log.startswith("loss=9.5\nloss=")
    assert cli.ok("logs", name, "--follow") == log
    assert "rekindle trials done" in cli.refused(3, "logs", done)


def test_a_name_in_use(cli, done):
    assert "choose another name" in cli.refused(3, "tune", cli.job(done))
    assert "choose another name" in cli.refused(3, "plan", cli.job(done))
    out = cli.ok("tune", cli.job(done), "--name", "renamed")
    assert "renamed: Completed" in out


@pytest.mark.parametrize("command", ["show", "best", "trials", "logs", "stop", "resume", "delete"])
def test_what_is_not_there(cli, command):
    assert "'nothing'" in cli.refused(3, command, "nothing")


def test_debug_shows_where_an_error_comes_from_and_exits_as_without(cli):
    code, out, err = cli("--debug", "show", "nothing")
    assert (code, out) == (3, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.splitlines()[-1].startswith("error: there is no tuning job called 'nothing'.")


@pytest.mark.parametrize("command", ["verify", "show", "best", "trials", "resume", "delete"])
def test_a_training_jobs_name_where_a_tuning_jobs_is_asked_for(cli, done, command):
    name = cli.json("trials", done)[2]["name"]
    told = f"error: there is no tuning job called {name!r}. It is a training job of the tuning job {done!r}.\n"
    assert cli.refused(3, command, name) == told


def test_a_name_that_is_almost_right_is_told(cli, done):
    name = cli.json("trials", done)[2]["name"]
    assert name.startswith("done-003-")
    tuning, training = f"Did you mean {done!r}?", f"Did you mean {name!r}?"
    assert tuning in cli.refused(3, "verify", "dome")
    assert tuning in cli.refused(3, "show", "don")
    assert training in cli.refused(3, "explain", "done-003")
    assert training in cli.refused(3, "logs", "done-003-")
    assert training in cli.refused(3, "explain", f"{name[:-1]}_")
    assert training in cli.refused(3, "stop", name[1:])
    assert "`rekindle jobs` lists the tuning jobs" in cli.refused(3, "explain", "quite another")
    # A name that nothing could have, and the other kind's alone, help nobody.
    assert "Did you mean" not in cli.refused(3, "show", "done-003-0123456")


def test_what_has_ended_is_neither_resumed_nor_stopped(cli, done):
    assert "Completed" in cli.refused(3, "resume", done)
    assert "Completed" in cli.refused(3, "stop", done)
    name = cli.json("trials", done)[2]["name"]
    assert f"training job {name!r} cannot be stopped: it is Completed" in cli.refused(3, "stop", name)


def test_a_warm_start_shows_its_rules_and_the_overall_best(cli, done):
    file = cli.job("child", "jobs: 6, parallel: 3", "jobs: 2", f"warm_start: {{type: identical, parents: [{done}]}}\n")
    plan = cli.ok("plan", file)
    for text in ("at most 10 changes", "0: none", "6 of 6 training jobs", "has ended"):
        assert text in plan
    code, out, err = cli("tune", file, "--json")
    assert code == 0, err
    record = json.loads(out)
    assert len(err.splitlines()) == 3
    assert (record["warm_start"]["type"], record["warm_start"]["parents"]) == ("IdenticalDataAndAlgorithm", [done])
    parent = cli.json("best", done)["best"]
    assert record["overall_best"]["objective"] == min(parent["objective"], record["best"]["objective"])
    assert "overall best, parents included" in cli.ok("best", "child") or record["overall_best"] == record["best"]
    assert "Random search draws without a look at the parents" in cli.ok("explain", "child")


def test_a_relaxed_warm_start_is_planned_explained_and_verified(cli, done):
    text = "warm_start: {type: transfer, match: relaxed, parents: [{job: done, names: {y: x}}]}\n"
    file = Path(cli.job("other", "  x: {min: -1, max: 2}", "  y: {min: -1, max: 3}\n  z: {min: 0, max: 1}", text))
    file.write_text(file.read_text().replace("strategy: random", "strategy: bayesian").replace("jobs: 6", "jobs: 4"))
    (cli.folder / "train.py").write_text(TRAINER.replace('given["--x"]', 'given.get("--x") or given["--y"]'))
    plan = cli.ok("plan", str(file))
    assert "y is its x; z is new" in plan
    cli.ok("tune", str(file), "--quiet")
    told = cli.ok("explain", "other")
    for words in (
        "warm start: transfer, relaxed; 4 results here",
        "6 of 6   as kin",
        "range [-1.0, 2.0] -> [-1.0, 3.0]",
        "Best here: loss",
    ):
        assert words in told
    assert "z           not at all" in told
    found = cli.json("explain", "other")["warm_start"]
    assert found["parents"][0]["recorded_weights"]
    last = cli.json("explain", cli.json("trials", "other")[3]["name"])["why"]
    reading, documented = last["parents"], (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    told_of = [found, found["now"], found["parents"][0], found["weights_by_suggestion"][0], last, reading]
    told_of.append(reading["parents"][0])
    assert {"counts", "views", "results", "best_configuration"} <= {key for keys in told_of for key in keys}
    assert {key for keys in told_of for key in keys if f"`{key}`" not in documented} == set()
    assert [s["number"] for s in found["suggestions"]] == [1, 2, 3, 4]
    assert "4 of 4 suggestions follow" in cli.ok("verify", "other")
    assert cli.json("show", "other")["warm_start"]["names"] == {"done": {"y": "x"}}
    assert "weight then" in cli.ok("explain", cli.json("trials", "other")[3]["name"])
    # With its training jobs: the next of its name has some that are called much like these.
    cli.ok("delete", done, "--training-jobs", "--yes")
    assert "4 of 4 suggestions cannot be compared: they were made with the results of 'done'" in cli.ok("verify", "other")
    assert "1 of its parents was deleted since" in cli.ok("explain", "other")


def test_one_event_is_one(cli, monkeypatch):
    monkeypatch.setenv("REKINDLE_EVENTS_WEBHOOK", "http://127.0.0.1:9/")
    cli.ok("tune", cli.job("told"), "--detach")
    code, _, err = cli("events", "--drop")
    assert (code, err) == (0, "1 event thrown away\n")
    code, _, err = cli("events", "--retry")
    assert (code, err) == (0, "given up, and for the next worker to tell after all: 0 events\n")
    cli.ok("stop", "told")
    cli.ok("delete", "told")


def test_what_is_exported_to_stdout_is_what_a_file_has(cli, tmp_path, monkeypatch):
    """Also in a terminal's encoding that has no letter for it, and where a value holds what colours a terminal."""
    file, rows, written = (
        cli.job("coloured", "k: [a, b]", r'k: ["\e[31mred", "中"]'),
        tmp_path / "rows.csv",
        tmp_path / "all.csv",
    )
    rows.write_text("x,k,objective\n0.1,\x1b[31mred,1.0\n0.2,\u4e2d,2.0\n", encoding="utf-8")
    cli.ok("import", file, str(rows))
    cli.ok("export", "coloured", "--to", str(written))
    command, latin = [sys.executable, "-m", "rekindle.cli.main"], {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*command, "export", "coloured"], env=latin, stdout=subprocess.PIPE, check=True)
    assert done.stdout == written.read_bytes()
    done = subprocess.run([*command, "trials", "coloured", "--csv"], env=latin, stdout=subprocess.PIPE, check=True)
    assert [row["k"] for row in csv.DictReader(io.StringIO(done.stdout.decode()))] == ["\x1b[31mred", "\u4e2d"]
    assert cli.ok("export", "coloured").encode() == written.read_bytes()


def test_the_page_names_every_key_of_json(cli, done, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    rows, log, planned = tmp_path / "rows.csv", tmp_path / "log", cli.job("planned")
    rows.write_text(cli.ok("export", done))
    log.write_text("loss=1\n")
    imported = cli.json("import", planned, str(rows), "--name", "brought")
    trial = cli.json("trials", done)[0]
    shown = cli.json("show", done)
    documents = [imported, trial, shown, shown["limits"], shown["training_jobs"], shown["objectives"], shown["ranges"][0]]
    documents += [cli.json("jobs")[0], cli.json("best", done), cli.json("plan", planned), cli.json("verify", done)]
    documents += [cli.json("explain", done), cli.json("explain", trial["name"]), cli.json("delete", "brought")]
    documents += [cli.json("metrics", planned, "--log", str(log))[0], cli.json("keys", "add", "123456789012")]
    documents.append(cli.json("keys", "list")[0])
    assert {key for document in documents for key in document if f"`{key}`" not in page} == set()
    assert imported["best"]["source"] == "imported"
    assert shown.keys() - imported.keys() == {"failure_causes", "importances", "notes", "waiting"}


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text. Fails on an element that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self._open = "", [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, *kinds):
        """The elements of all of these classes."""
        return [e for e in self.elements if set(kinds) <= set(e[1].get("class", "").split())]


def report_of(cli, name, folder):
    """The page of a tuning job; it is one file that asks for nothing and runs nothing."""
    place = folder / f"{name}.html"
    assert cli.ok("report", name, "--to", str(place)).startswith(f"{place}: ")
    page = Page(place.read_text())
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "a", "link", "iframe", "object", "embed", "form", "use", "image", "foreignobject"}
    assert not {key for _, attrs in page.elements for key in attrs if key.startswith("on") or key in ("href", "src", "style")}
    return page


def test_a_report_shows_what_the_commands_tell(cli, done, tmp_path):
    page = report_of(cli, done, tmp_path)
    best, trials = cli.json("best", done)["best"], cli.json("trials", done)
    assert f"{best['objective']:.6g}" in page.text
    assert best["name"] in page.text
    assert len(page.of("point", "drawn")) == 1 + 3 * len(trials)  # the legend's; by number, and by each hyperparameter
    assert len(page.of("point", "best")) == 3
    rows = [attrs for tag, attrs in page.elements if tag == "span" and "title" in attrs]
    assert [r["title"] for r in rows] == [t["name"] for t in sorted(trials, key=lambda t: t["objective"])]


def test_a_report_tells_of_the_parents(cli, done, tmp_path):
    warm = f"warm_start: {{type: identical, parents: [{done}]}}\n"
    cli.ok("tune", cli.job("follower", "strategy: random", "strategy: bayesian", warm), "--quiet")
    page = report_of(cli, "follower", tmp_path)
    told, parent = cli.ok("explain", "follower"), cli.json("best", done)["best"]
    sentences = [line for line in told.splitlines() if line.startswith(("done: ", "#", "Best here"))]
    assert len(sentences) >= 3
    assert [line for line in sentences if line not in page.text] == []
    assert "by value, same range" in page.text
    assert "Warm start: identical; 6 results here to judge the parents by." in page.text
    assert f"{parent['objective']:.6g}" in page.text
    # Where the follower's results are so much better that the axis does not reach the parent's, the legend alone tells of it.
    drawn = f"the parents' best, {parent['objective']:.6g}, beyond the edge" not in page.text
    assert [attrs.keys() >= {"x1", "y1"} for _, attrs in page.of("level")] == [True] * (1 + drawn)
    cli.ok("tune", cli.job("blind", "strategy: random", "strategy: random", warm), "--detach")
    blind = "Random search draws without a look at the parents; they count for the best overall."
    assert blind in cli.ok("explain", "blind")
    assert blind in report_of(cli, "blind", tmp_path).text
    cli.ok("stop", "blind", "--no-wait")


def test_a_report_takes_no_word_of_a_user_for_markup(cli, tmp_path):
    hostile = "</title><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
    file = Path(cli.job("hostile", "k: [a, b]", f"'<b>k': ['{hostile}', b]"))
    rows = tmp_path / "rows.csv"
    rows.write_text(f"x,<b>k,objective\n0.1,{hostile},1.0\n0.2,b,2.0\n0.3,b,\n")
    cli.ok("import", str(file), str(rows), "--column", "<b>k=<b>k")
    page = report_of(cli, "hostile", tmp_path)
    assert hostile in page.text
    assert "<b>k" in page.text


def test_a_report_of_failures_and_of_nothing(cli, tmp_path):
    cli("tune", cli.job("wrecked", "fail: no", "fail: yes"))
    page = report_of(cli, "wrecked", tmp_path)
    assert "no such data: " in page.text
    reasons = [tag for tag, _ in page.elements if tag == "details"]
    assert len(reasons) == len([t for t in cli.json("trials", "wrecked") if t["status"] == "Failed"]) > 0
    cli.ok("tune", cli.job("unbegun"), "--detach")
    assert "0 of 6" in report_of(cli, "unbegun", tmp_path).text
    cli.ok("stop", "unbegun", "--no-wait")


def test_a_report_draws_what_training_jobs_emitted(cli, folder, tmp_path):
    cli.ok("tune", cli.job("curved", "jobs: 6, parallel: 3", "jobs: 2"), "--quiet")
    page = report_of(cli, "curved", tmp_path)
    # 9.5, and then the result: the best and another one.
    assert "While training jobs ran" in page.text
    assert len(page.of("line-other")) == 1
    assert "after 2" in page.text


def test_a_report_replaces_an_older_one_and_nothing_else(cli, done, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.ok("report", done).startswith("done.html: ")
    first = (tmp_path / "done.html").read_text()
    cli.ok("report", done)
    assert (tmp_path / "done.html").read_text()[:100] == first[:100]
    (tmp_path / "notes.html").write_text("<!doctype html>\n<p>mine")
    assert "is no report: it is not overwritten" in cli.refused(2, "report", done, "--to", "notes.html")
    assert (tmp_path / "notes.html").read_text() == "<!doctype html>\n<p>mine"
    os.mkfifo(tmp_path / "pipe")
    for place in ("done.html/below.html", "/proc/none/x.html", str(tmp_path), "", ".", "/", "pipe"):
        assert "--to" in cli.refused(2, "report", done, "--to", place)
    (tmp_path / "pipe").unlink()
    cli.refused(3, "report", "nobody")
    (tmp_path / "link.html").symlink_to("done.html")
    (tmp_path / "done.html").write_text(first[:200])
    cli.ok("report", done, "--to", "link.html")
    assert (tmp_path / "link.html").readlink() == Path("done.html")
    assert len((tmp_path / "done.html").read_text()) > 1000
    (tmp_path / "link.html").unlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done.html", "notes.html"]


def test_history_goes_out_and_comes_back_through_a_study(cli, done, folder):
    url = f"sqlite:///{folder}/study.db"
    assert "6 trials are in study done" in cli.ok("export", done, "--as", "optuna", "--to", url)
    assert "a study called 'done' exists already" in cli.refused(3, "export", done, "--as", "optuna", "--to", url)
    assert "(loss)\n" in cli.ok("import", "--from-optuna", url, "--name", "back")
    pairs = [[(t["values"], t["objective"], t["status"]) for t in cli.json("trials", name)] for name in (done, "back")]
    assert pairs[0] == pairs[1]
    assert "was imported" in cli.ok("explain", "back")
    turned = cli.job("turned", "goal: minimize", "goal: maximize")
    told = cli.refused(2, "import", turned, "--from-optuna", url, "--study", "done")
    assert "objective.goal: 'maximize': the study 'done' is to minimize its objective" in told
    hyphened = cli.job("hyphened", "  x: {", "  the-x: {")
    told = cli.refused(2, "import", hyphened, "--from-optuna", url, "--study", "done")
    assert "say where the value stands: --column the-x=COLUMN" in told
    cli.ok("import", hyphened, "--from-optuna", url, "--study", "done", "--column", "the-x=x")
    assert [t["values"]["the-x"] for t in cli.json("trials", "hyphened")] == [v["x"] for v, _, _ in pairs[0]]
    told = cli.refused(2, "import", hyphened, "--from-optuna", url, "--study", "done", "--column", "x=x", "--name", "n")
    assert "--column: 'x': there is no such hyperparameter" in told


@pytest.mark.parametrize(("matters", "words"), [(True, "; it matters"), (False, "; nothing shows that it matters")])
def test_the_only_hyperparameter_is_given_no_share(cli, folder, matters, words):
    name = f"alone-{matters}".lower()
    rows = [f"{i / 40},{i if matters else 1 + i % 3}" for i in range(40)]
    (folder / "rows.csv").write_text("\n".join(["x,loss", *rows]))
    cli.ok("import", cli.job(name, "  k: [a, b]\n"), str(folder / "rows.csv"))
    assert re.search(rf"^importance +x \(the only one{words}\)$", cli.ok("show", name), re.M)


def test_a_study_with_too_many_parameters_comes_in_by_a_job_file_that_names_some(cli, folder):
    url = f"sqlite:///{folder}/wide.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study = optuna.create_study(storage=url, study_name="wide")

    def loss(trial):
        return trial.suggest_float("x", -1, 2) ** 2 + 0 * sum(trial.suggest_float(f"p{i}", 0, 1) for i in range(31))

    # Drawn in memory: in the file each parameter would be a commit of its own.
    drawn.optimize(loss, n_trials=45)
    study.add_trials(drawn.trials[:5])
    told = cli.refused(2, "import", "--from-optuna", url)
    assert "parameters of the study 'wide': 32: the limit is 30. Give a job file as JOB: " in told
    assert "matter least" not in told
    study.add_trials(drawn.trials[5:])
    assert re.search(r"these matter least: 'p\d+', 'p\d+'\.$", cli.refused(2, "import", "--from-optuna", url).strip())
    assert "imported 45 training jobs" in cli.ok("import", cli.job("wide", "  k: [a, b]\n"), "--from-optuna", url)
    other = optuna.create_study(storage=url, study_name="choices")
    other.optimize(lambda t: t.suggest_float("x", -1, 2) + t.suggest_categorical("c", list(range(40))), n_trials=2)
    told = cli.refused(2, "import", "--from-optuna", url, "--study", "choices")
    assert "choices of the study's parameter 'c': 40: the limit is 30. Give a job file as JOB: " in told
    cli.ok("import", cli.job("choices", "  k: [a, b]\n"), "--from-optuna", url, "--study", "choices")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("import",), "at least one file of results"),
        (("import", "--from-aws", "a", "b.yaml"), "takes no further files"),
        (("import", "--from-optuna", "study.db"), "Write sqlite:///study.db"),
        (
            ("import", "done.yaml", "a.csv", "--from-optuna", "sqlite:///a.db"),
            "RESULTS: ['a.csv']: does not go with --from-opt",
        ),
        (("import", "--from-aws", "a", "--column", "x=y"), "--column: ['x=y']: does not go with --from-aws"),
        (("import", "--from-aws", "a", "--from-optuna", "sqlite:///a.db"), "--from-optuna: 'sqlite:///a.db': does not go with"),
        (("import", "--from-aws", "a", "--objective", "b"), "--objective: 'b': does not go with --from-aws"),
        (
            ("import", "done.yaml", "rows.json"),
            "rows.json:2: '{}\\n': not JSON (Extra data). Rows, an object of JSON on each line",
        ),
        (("import", "done.yaml", "rows.csv", "--name", "a b"), "error: --name: 'a b': a name has 1 to 32 letters"),
        (("import", "done.yaml", "a.csv", "--study", "b"), "--study: 'b': does not go with RESULTS. Leave one of them out."),
        (("import", "done.yaml", "none.csv"), "none.csv"),
        (("export", "done", "--as", "optun"), "Did you mean 'optuna'"),
        (("export", "done", "--as", "sagemaker"), "--to"),
        (("export", "done", "--as", "csv", "--name", "n"), "--name: 'n': does not go with --as csv"),
        (("export", "done", "--as", "mlflow", "--to", "nonsense://x"), "MLflow cannot write there"),
        (("export", "done", "--to", "train.py"), "is not overwritten"),
    ],
)
def test_what_cannot_travel_is_refused(cli, done, folder, argv, words, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "rows.json").write_text("{}\n{}\n")
    (folder / "rows.csv").write_text("x,k,loss\n0.5,a,1\n")
    assert words in cli.refused(2, *argv)


def test_a_tuning_job_that_fails(cli):
    code, out, err = cli("tune", cli.job("fails", "fail: no", "fail: yes"))
    assert code == 1, err
    assert out.count("Failed: AlgorithmError: ") >= 5
    assert "fails: Failed" in out
    named = re.search(r"rekindle logs (\S+) +what the last one printed", out)
    assert {t["name"]: t["status"] for t in cli.json("trials", "fails")}[named[1]] == "Failed"
    shown = cli.json("show", "fails")
    assert len(shown["failure_causes"]) == 1
    assert "no such data: " in shown["failure_causes"][0]["reason"]
    # The fifth failure ends it: the sixth, which ran beside it, has failed by then or is stopped.
    assert re.search("failed: [56] like fails-00", cli.ok("show", "fails"))
    assert shown["best"] is None
    assert "no finished training job" in cli.refused(3, "best", "fails")


#: Prints the loss three times the first time, then once; it has to be stopped.
HANGS = """\
import pathlib, time
first = not pathlib.Path("FOLDER/hung").exists()
pathlib.Path("FOLDER/hung").touch()
print("loss=1.0\\n" * (3 if first else 1), end="", flush=True)
time.sleep(900)
"""


def test_trials_tell_how_far_each_came(cli, folder):
    old, new = "random\nlimits: {jobs: 6, parallel: 3}", "hyperband\nlimits: {jobs: 2, parallel: 1}"
    path = cli.job("halved", old, new, "hyperband: {max_resource: 3}\n")
    (folder / "train.py").write_text(HANGS.replace("FOLDER", str(folder)))
    out = cli.ok("tune", path)
    assert "[1/2]" in out
    assert out.count("(stopped early)") == 1
    assert "1 stopped early: 2 epochs (33%)" in out
    trials = cli.json("trials", "halved")
    told = [(t["epochs"], t["stopped_early"], t["in_full"]) for t in trials]
    assert told == [(3, True, True), (1, True, False)]
    assert [cli.json("explain", t["name"])["in_full"] for t in trials] == [True, False]
    table = cli.ok("trials", "halved")
    assert "epochs" in table.splitlines()[0]
    assert "Stopped at the end" in table
    assert "Stopped early" in table
    page = report_of(cli, "halved", folder)
    assert "Stopped at the end" in page.text
    assert "Stopped early" in page.text
    # Rows bring no curves: how often their programs printed a value is not known here, which is not 0.
    cli.ok("export", "halved", "--to", str(folder / "halved.csv"))
    cli.ok("import", path, str(folder / "halved.csv"), "--name", "moved")
    assert [t["epochs"] for t in cli.json("trials", "moved")] == [None, None]


def test_detached_jobs_wait_for_a_worker(cli):
    out = cli.ok("tune", cli.job("detached", "jobs: 6", "jobs: 3"), "--detach")
    assert "rekindle worker" in out
    assert cli.json("show", "detached")["training_jobs"]["completed"] == 0
    assert cli.ok("trials", "detached") == "No training jobs yet.\n"
    cli.ok("worker", "--until-idle", "--quiet")
    assert cli.json("show", "detached")["status"] == "Completed"


def test_stop_and_delete(cli):
    cli.ok("tune", cli.job("stopped"), "--detach")
    assert "not in a terminal state" in cli.refused(3, "delete", "stopped")
    assert "stopped: Stopped" in cli.ok("stop", "stopped")
    cli.ok("delete", "stopped")
    cli.refused(3, "show", "stopped")


def test_stop_and_delete_print_one_json_document(cli):
    cli.ok("tune", cli.job("halted"), "--detach")
    shown = cli.json("stop", "halted", "--no-wait")
    assert (shown["name"], shown["status"]) == ("halted", "Stopping")
    code, out, err = cli("stop", "halted", "--json")
    assert (code, json.loads(out)["status"], json.loads(out)["early_stopping"]) == (0, "Stopped", None)
    assert err.endswith("halted: Stopped\n")
    assert cli.json("delete", "halted") == {"tuning_job": "halted", "training_jobs": []}


def test_delete_as_json_names_the_training_jobs_that_are_gone(cli):
    cli.ok("tune", cli.job("erased", "jobs: 6, parallel: 3", "jobs: 2"), "--quiet")
    names = [t["name"] for t in cli.json("trials", "erased")]
    assert cli.json("delete", "erased", "--training-jobs", "--yes") == {"tuning_job": "erased", "training_jobs": names}


def test_stop_of_a_training_job_prints_its_record_and_what_runs_is_not_deleted(cli):
    slow = "import time; time.sleep(900)\n"
    file = cli.job("slow", "limits: {jobs: 6, parallel: 3}", "limits: {jobs: 1}")
    (cli.folder / "slow").mkdir(exist_ok=True)
    (cli.folder / "slow" / "train.py").write_text(slow)
    text = Path(file).read_text().replace("command:", "source: slow\ncommand:")
    Path(file).write_text(text)
    with subprocess.Popen([Path(sys.executable).with_name("rekindle"), "tune", file, "--quiet"]) as running:
        try:
            while not (found := [t for t in json.loads(cli("trials", "slow", "--json")[1] or "[]") if t["started_at"]]):
                pass
            # Before it asks: to say yes would have been in vain.
            assert "not in a terminal state" in cli.refused(3, "delete", "slow", "--training-jobs")
            record = cli.json("stop", found[0]["name"])
            assert (record["name"], record["tuning_job"], record["number"]) == (found[0]["name"], "slow", 1)
            assert set(record["values"]) == {"x", "k"}
        finally:
            running.terminate()
    # Unless its end was seen by then: it was its tuning job's only one.
    code, _, err = cli("stop", "slow")
    assert code == 0 or "has already ended" in err


def test_delete_with_training_jobs_removes_files_and_asks_first(cli):
    cli.ok("tune", cli.job("gone", "jobs: 6, parallel: 3", "jobs: 1"), "--quiet")
    trial = cli.json("trials", "gone")[0]
    assert "--yes" in cli.refused(2, "delete", "gone", "--training-jobs")
    cli.ok("delete", "gone", "--training-jobs", "--yes")
    assert not Path(trial["model"].removeprefix("file://")).exists()
    cli.refused(3, "logs", trial["name"])


def test_deleting_keeps_training_jobs(cli):
    cli.ok("tune", cli.job("kept", "jobs: 6, parallel: 3", "jobs: 1"), "--quiet")
    trial = cli.json("trials", "kept")[0]
    cli.ok("delete", "kept")
    assert cli.ok("logs", trial["name"]).startswith("loss=")


def test_training_jobs_that_a_delete_has_left_can_be_deleted_later(cli):
    """As after a delete that was killed half-way."""
    for name, jobs in (("half", "jobs: 2"), ("half-2", "jobs: 1")):
        cli.ok("tune", cli.job(name, "jobs: 6, parallel: 3", jobs), "--quiet")
    first, second = cli.json("trials", "half")
    (other,) = cli.json("trials", "half-2")
    cli.ok("delete", "half-2")
    cli.ok("delete", "half")
    assert "no tuning job called 'half'" in cli.refused(3, "delete", "half")
    assert "--yes" in cli.refused(2, "delete", "half", "--training-jobs")
    assert cli.ok("delete", "half", "--training-jobs", "--yes") == "deleted 2 training jobs\n"
    for trial in (first, second):
        assert not Path(trial["model"].removeprefix("file://")).exists()
    assert cli.ok("logs", other["name"]).startswith("loss=")
    cli.refused(3, "delete", "half", "--training-jobs", "--yes")


COMMAND = f"command: {sys.executable} -I -S train.py"
PROGRAM = JOB[JOB.index(COMMAND) : JOB.index("strategy:")]
LATE = {
    "no source": ("command:", "source: nowhere\ncommand:", ["source", "nowhere"]),
    "no script": ("-I -S train.py", "other.py", ["command", "other.py"]),
    "no program": (sys.executable, "no-such-program", ["command", "no-such-program"]),
    "no python": ("command:", "python: no-venv\ncommand:", ["python", "no-venv"]),
    "no data": ("command:", "channels: {train: no-data}\ncommand:", ["channels.train", "no-data"]),
    "odd place": ("command:", "channels: {train: 'ftp://host/x'}\ncommand:", ["channels.train", "ftp://host/x"]),
    "no parent": ("command:", "warm_start: {type: transfer, parents: [nobody]}\ncommand:", ["warm_start.parents", "'nobody'"]),
    "a shell's command": ("-I -S train.py", "train.py | tee log", ["command", "'|'"]),
    "no such image": (COMMAND, "image: xyz", ["image", "'xyz'"]),
    "no script for an image": (
        COMMAND,
        "image: pytorch-training",
        [".yaml:7: static: 'pytorch-training'", "sagemaker_program"],
    ),
    "no place for a script": (
        PROGRAM,
        PROGRAM.replace(COMMAND, "image: pytorch-training").replace(
            "{fail: no}", "{sagemaker_program: train.py, sagemaker_submit_directory: .}"
        ),
        [".yaml:7", "static.sagemaker_submit_directory: '.'", "not an absolute path"],
    ),
}


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("command", ["plan", "tune"])
def test_what_this_machine_cannot_run_is_refused(cli, command, name):
    old, new, expected = LATE[name]
    shows = "no tuning job called 'nobody'" if (name, command) == ("no parent", "plan") else ""
    error = cli.refused(2, command, cli.job(f"late-{name.replace(' ', '-')}".replace("'", ""), old, new), shows=shows)
    assert ".yaml" in error
    for text in expected:
        assert text in error
    assert cli.json("jobs", "--contains", "late") == []


def as_a_user() -> list[str]:
    """How to start a command that file permissions hold for, as they do not for root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


def planned_by_a_user(folder, closed):
    """How a plan of the folder's job file ends for one who may not read what is ``closed``."""
    command = [*as_a_user(), Path(sys.executable).with_name("rekindle"), "plan", folder / "job.yaml"]
    environ = {**os.environ, "REKINDLE_HOME": str(folder / "home")}
    (folder / closed).chmod(0)
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environ)
    finally:
        (folder / closed).chmod(0o700)


@pytest.mark.parametrize(
    ("closed", "told"),
    [
        ("source/secret", "source: : 'secret' in it cannot be read, and all of it is copied."),
        ("source/deep/secret", "source: : 'deep/secret' in it cannot be read, and all of it is copied."),
        ("source/deep", "source: : 'deep' in it cannot be read, and all of it is copied."),
        ("data", "channels.train.uri: /data' cannot be read by this user."),
        ("data/rows.csv", ""),
    ],
)
def test_what_a_training_job_could_not_read_is_refused(tmp_path, closed, told):
    for name in ("source/train.py", "source/secret", "source/deep/secret", "data/rows.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TRAINER)
    keys = f"source: {tmp_path}/source\nchannels: {{train: {tmp_path}/data}}\ncommand:"
    (tmp_path / "job.yaml").write_text(JOB.replace("NAME", "closed").replace("command:", keys, 1))
    run = planned_by_a_user(tmp_path, closed)
    # Of a channel only what it names is looked at: data may be large.
    assert run.returncode == (2 if told else 0)
    # The values are the folders' whole paths, cut where they are long.
    field, _, reason = told.partition(": ")
    assert field in run.stderr
    assert reason in run.stderr


@pytest.mark.parametrize(
    ("submitted", "closed", "told"),
    [
        ("code", "code", "it cannot be read by this user. Make it readable."),
        ("code", "code/train.py", "'train.py' in it cannot be read, and all of it is copied. Make it readable"),
        ("code.tar.gz", "code.tar.gz", "it cannot be read by this user. Make it readable."),
    ],
)
def test_nor_is_a_script_that_could_not_be_read(tmp_path, submitted, closed, told):
    (tmp_path / "code").mkdir()
    for name in ("code/train.py", "code.tar.gz"):
        (tmp_path / name).write_text(TRAINER)
    static = f"static: {{sagemaker_program: train.py, sagemaker_submit_directory: {tmp_path}/{submitted}}}"
    text = re.sub("command:.*", "image: sagemaker-scikit-learn", JOB.replace("NAME", "closed"))
    (tmp_path / "job.yaml").write_text(re.sub("static:.*", static, text))
    run = planned_by_a_user(tmp_path, closed)
    assert run.returncode == 2
    assert "static.sagemaker_submit_directory: " in run.stderr
    assert told in run.stderr


@pytest.mark.parametrize(
    ("change", "field", "row"),
    [
        (("  k: [a, b]\n", ""), "warm_start.parents.done.hyperparameters", "same hyperparameters"),
        (("goal: minimize", "goal: maximize"), "warm_start.parents.done.objective.goal", "same objective"),
        (("{min: -1, max: 2}", "{min: -1, max: 2, type: integer}"), "warm_start.parents.done.ranges.x", "same types"),
    ],
)
def test_what_a_parent_does_not_allow_is_refused(cli, done, change, field, row):
    file = cli.job("heir", *change, extra=f"warm_start: {{type: transfer, parents: [{done}]}}\n")
    error = cli.refused(2, "plan", file, shows=row)
    assert field in error
    assert "heir.yaml:" in error
    found = json.loads(cli("plan", file, "--json")[1])["warm_start_checks"]
    assert [c["rule"][: len(row)] for c in found if c["kept"] is False] == [row]
    assert cli.refused(2, "tune", file) == error


@pytest.mark.parametrize(
    "change", [("strategy: random", "strategy: grid"), ("  k: [a, b]\n", ""), ("goal: minimize", "goal: maximize")]
)
def test_a_rule_of_form_that_is_broken_hides_none_of_the_parents_rules(cli, done, change):
    """Six parents, five of which are not there, and something else that is wrong."""
    parents = ", ".join([done, *(f"nobody-{n}" for n in range(5))])
    file = cli.job("heir", *change, extra=f"warm_start: {{type: transfer, parents: [{parents}]}}\n")
    cli.refused(2, "plan", file, shows="same objective")
    found = json.loads(cli("plan", file, "--json")[1])["warm_start_checks"]
    assert {c["parent"] for c in found} == {None, done, *(f"nobody-{n}" for n in range(5))}
    assert next(c["rule"] for c in found if c["kept"] is False) == "1 to 5 parents"
    broken = sum(c["kept"] is False for c in found)
    error = cli.refused(2, "plan", file, shows="same objective")
    assert error.endswith(f" {broken} rules of warm start are broken; the list above shows each of them.\n")


def test_tune_says_how_many_rules_are_broken_and_where_they_are_shown(cli, done):
    """One after the other, they would be mended one run at a time."""
    file = cli.job("heir", "  k: [a, b]\n", "", extra=f"warm_start: {{type: transfer, parents: [{done}, nobody, none]}}\n")
    shown = cli.refused(2, "plan", file, shows="same hyperparameters")
    broken = re.search(r"(\d) rules of warm start are broken", shown)[1]
    assert cli.refused(2, "tune", file).endswith(
        f" {broken} rules of warm start are broken; `rekindle plan {file}` shows each of them.\n"
    )
    assert cli.refused(2, "tune", file, "--detach").endswith("shows each of them.\n")


@pytest.mark.parametrize("command", ["plan", "tune"])
def test_a_parent_that_cannot_be_there_leaves_no_home_folder(cli, monkeypatch, command):
    home = cli.folder / "no-home"
    monkeypatch.setenv("REKINDLE_HOME", str(home))
    file = cli.job("orphan", extra="warm_start: {type: transfer, parents: [nobody, none]}\n")
    error = cli.refused(2, command, file, shows="NO   is there: " if command == "plan" else "")
    assert (
        f"warm_start.parents: there is no tuning job called 'nobody'. There is no tuning job at all: no folder '{home}'"
        in error
    )
    assert "2 rules of warm start are broken" in error
    assert not home.exists()


@pytest.mark.parametrize("columns", [40, 80])
def test_the_rules_of_warm_start_fit_the_columns_that_are_asked_for(cli, done, monkeypatch, columns):
    file = cli.job("heir", "goal: minimize", "goal: maximize", extra=f"warm_start: {{type: transfer, parents: [{done}]}}\n")
    whole = cli("plan", file)[1]
    assert f"{done}\n  yes  has ended: Completed\n" in whole
    assert "\n       results to learn from: 6 of 6 training jobs\n" in whole
    assert max(map(len, whole.splitlines())) > 70, "one line for each rule, where nobody says how wide"
    monkeypatch.setenv("COLUMNS", str(columns))
    told = cli("plan", file)[1]
    assert max(map(len, told.splitlines())) <= columns
    assert told.split() == whole.split()


def test_rows_in_another_encoding_are_refused_with_the_line_and_the_way_out(cli):
    rows = cli.folder / "rows.csv"
    rows.write_bytes(b"x,k,loss\n0.5,a,1\n0.5,\xe9,1\n")
    error = cli.refused(2, "import", cli.job("latin"), str(rows))
    assert error == f"error: {rows}:3: 'byte 0xe9': not UTF-8. Save the file as UTF-8.\n"


def test_a_new_home_is_its_owners_alone(cli):
    cli.ok("jobs")
    assert (cli.folder / "home").stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_used(cli, folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("REKINDLE_HOME", str(folder / "file" / "home"))
    assert "cannot be reached" in cli.refused(4, "jobs")


@pytest.mark.parametrize("command", [["jobs"], ["serve", "--port", "8999"]])
def test_a_home_that_is_a_file_says_so_and_the_way_out(cli, folder, monkeypatch, command):
    (folder / "file").write_text("")
    monkeypatch.setenv("REKINDLE_HOME", str(folder / "file"))
    error = cli.refused(4, *command)
    assert f"the home folder {folder / 'file'} cannot be made (File exists). Set REKINDLE_HOME" in error


@pytest.mark.parametrize("command", [["env"], ["env", "--all"], ["keys", "list"], ["serve", "--port", "8999"]])
def test_keys_that_cannot_be_read_say_so_and_the_way_out(cli, folder, monkeypatch, command):
    home = folder / "keyless"
    home.mkdir(exist_ok=True)
    (home / "credentials.json").write_text("{garbage")
    (home / "credentials.json").chmod(0o600)
    monkeypatch.setenv("REKINDLE_HOME", str(home))
    error = cli.refused(2, *command)
    assert f"error: {home / 'credentials.json'}: not a key file" in error
    assert "Restore it, or delete it to have a new pair made." in error
    assert "defect" not in error


def test_a_database_that_is_none_is_not_to_be_tried_again(cli, folder, monkeypatch):
    (folder / "spoilt").mkdir()
    (folder / "spoilt" / "rekindle.db").write_text("garbage, and enough of it to be read as a header of a database\n" * 20)
    monkeypatch.setenv("REKINDLE_HOME", str(folder / "spoilt"))
    error = cli.refused(4, "jobs")
    assert "the file is not a database. Move it away, or set REKINDLE_HOME" in error
    assert "try again" not in error


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.1", "error: --host: '192.0.2.1': cannot listen there"), ("no.such.host.invalid", "error: --host: 'no.such")],
)
def test_a_host_that_is_not_this_machine_s(cli, host, told):
    error = cli.refused(2, "serve", "--host", host, "--port", "8999")
    assert told in error
    assert "Give --host an address of this machine." in error


def test_a_bad_setting(cli, monkeypatch):
    monkeypatch.setenv("REKINDLE_LIMITS", "none")
    assert "REKINDLE_LIMITS" in cli.refused(2, "jobs")


def test_quotas_of_aws(cli, monkeypatch):
    monkeypatch.setenv("REKINDLE_LIMITS", "aws")
    assert "751" in cli.refused(2, "plan", cli.job("large", "jobs: 6", "jobs: 751"))


@pytest.mark.parametrize("argv", [["tun"], ["show"], ["tune", "--fast", "x"], ["trials", "a", "b"]])
def test_wrong_usage(cli, argv):
    assert "rekindle" in cli.refused(2, *argv)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("jobs", "--limit", "0"), "--limit: '0': not a whole number from 1 on"),
        (("trials", "a", "--limit", "many"), "--limit: 'many': not a whole number from 1 on"),
        (("logs", "a", "--attempt", "1.5"), "--attempt: '1.5': not a whole number from 1 on"),
        (("serve", "--port", "99999"), "--port: '99999': not a whole number from 1 to 65535"),
        (("serve", "--proxy-port", "-1"), "--proxy-port: '-1': not a whole number from 1 to 65535"),
        (("env", "--port", "http"), "--port: 'http': not a whole number from 1 to 65535"),
    ],
)
def test_a_number_that_is_none_or_out_of_bounds_is_named(cli, argv, expected):
    assert cli.refused(2, *argv) == f"error: {expected}\n"


@pytest.mark.parametrize("host", ["http://box:8421", "a b"])
def test_the_host_of_clients_is_a_name_or_an_address(cli, host):
    error = cli.refused(2, "env", "--host", host)
    assert error.startswith(f"error: --host: {host!r}: neither a host's name nor an address. Write it alone, without http://")
    assert cli.json("env", "--host", "::1", "--port", "8421")["AWS_ENDPOINT_URL"] == "http://[::1]:8421"


def test_help_and_version(cli):
    assert "Exit codes: 0 done" in cli.ok()
    assert cli.ok("--help") == cli.ok("-h")
    assert "Ctrl-C" in cli.ok("tune", "--help")
    # Without --port it is the running server's, whatever that is.
    shown = " ".join(cli.ok("env", "--help").split())
    assert "--port PORT The port. [default: (what the running server has announced)]" in shown
    assert cli.ok("--version").strip()


def test_metrics(cli):
    file = cli.job("metrics", extra="metrics: {other: 'acc=(\\S+)'}\n")
    (cli.folder / "log").write_text("loss=3\nacc=n/a\n\nloss=1.5\r\nnothing\n")
    loss, other = cli.json("metrics", file, "--log", str(cli.folder / "log"))
    assert (loss["count"], loss["first"], loss["final"], loss["line_number"], loss["objective"]) == (2, 3.0, 1.5, 4, True)
    assert (other["count"], other["not_numbers"], other["not_number_line"]) == (0, 1, "acc=n/a")
    assert "other: 1 match is no finite number: acc=n/a" in cli.ok("metrics", file, "--log", str(cli.folder / "log"))
    out = cli.ok("metrics", file, "--log", str(cli.folder / "log"))
    assert "loss (objective)" in out
    assert "other: nothing in the log matches acc=(\\S+) with a number." in out
    assert "other: 1 match is no finite number: acc=n/a" in out
    (cli.folder / "log").write_text("x" * 70_000 + "acc=n/a\nloss=2")
    loss, other = cli.json("metrics", file, "--log", str(cli.folder / "log"))
    # Of a long line no training job's pattern sees the rest.
    assert (loss["count"], loss["line_number"], other["not_numbers"]) == (1, 2, 0)
    (cli.folder / "log").write_text("no numbers here\n")
    assert cli("metrics", file, "--log", str(cli.folder / "log"))[0] == 1
    assert "--log" in cli.refused(2, "metrics", file, "--log", str(cli.folder / "no-log"))


def test_a_log_is_read_line_by_line():
    """``/dev/zero`` filled the memory."""
    assert len(next(_read_lines("/dev/zero"))) == LINE_LIMIT


def test_of_a_built_in_algorithms_metrics_those_are_shown_that_a_log_has(cli):
    file = cli.job("built-in", PROGRAM, "algorithm: xgboost\nobjective: validation:logloss\nranges: {eta: {min: 0, max: 1}}\n")
    (cli.folder / "log").write_text("[0]\t#011train-rmse:0.5#011validation-rmse:0.7\n")
    code, out, _ = cli("metrics", file, "--log", str(cli.folder / "log"))
    *rows, objective, others = out.splitlines()[2:]
    assert [row.split()[:3] for row in rows] == [
        ["validation:logloss", "(objective)", "0"],
        ["validation:rmse", "1", "0.7"],
        ["train:rmse", "1", "0.5"],
    ]
    assert objective.startswith("validation:logloss: nothing in the log matches")
    assert (code, others) == (1, "Not in the log: 34 other metrics of xgboost.")


def test_a_reader_that_goes_away(cli, done):
    command = f"{Path(sys.executable).with_name('rekindle')} trials {done} --json | head -c 1"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=os.environ)
    assert run.stdout == "["
    assert run.stderr == ""
    assert run.returncode in (0, 141)


def test_the_command_line_loads_nothing_heavy():
    heavy = ["numpy", "scipy", "sqlalchemy", "alembic", "rich", "yaml", "re2", "botocore", "asyncio", "rekindle.domain.errors"]
    code = f"import sys, rekindle.cli.main, rekindle.cli.program; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
