"""Broken job files: each gives one clear line that names field and value, exit code 2, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rekindle.cli.main import main

GOOD = """\
name: digits
command: python train.py
objective: {metric: accuracy, goal: maximize, regex: 'accuracy=([0-9.]+)'}
ranges:
  C: {min: 1e-3, max: 1e3, scaling: logarithmic}
  degree: {min: 2, max: 5, type: integer}
  kernel: [rbf, poly, linear]
static: {cv: 5}
limits: {jobs: 24, parallel: 2, runtime: 1h}
"""


def swap(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, 1).encode()


def add(text: str) -> bytes:
    return (GOOD + text + "\n").encode()


def bomb() -> str:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i + 1} [*a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}]" for i in range(9)]
    return "\n".join(lines)


C = "{min: 1e-3, max: 1e3, scaling: logarithmic}"
DEGREE = "{min: 2, max: 5, type: integer}"
KERNEL = "[rbf, poly, linear]"
REGEX = "'accuracy=([0-9.]+)'"
RANGES = GOOD[GOOD.index("ranges:") : GOOD.index("static:")]

#: name -> the file, and what the line must hold.
BROKEN: dict[str, tuple[bytes, list[str]]] = {
    # what is no job file at all
    "empty": (b"", ["empty"]),
    "only comments": (b"# nothing\n\n", ["empty"]),
    "a list": (b"- name: x\n", ["job.yaml:1", "not a list"]),
    "a word": (b"hello\n", ["'hello'"]),
    "10 MB": (b"name: x\n# " + b"x" * 10_000_000, ["1,048,576"]),
    "not UTF-8": (b"name: caf\xe9\n", ["job.yaml:1", "0xe9", "UTF-8"]),
    "not UTF-8 behind a byte order mark": (b"\xef\xbb\xbfname: caf\xe9\n\n", ["job.yaml:1", "0xe9"]),
    "UTF-16": (GOOD.encode("utf-16"), ["UTF-8"]),
    "binary": (bytes(range(256)) * 40, ["job.yaml"]),
    "NUL in the middle": (GOOD.encode() + b"\x00\n", ["job.yaml:10", "'\\x00'"]),
    "a variable in a path": (add("output: ${DATA}/out"), ["job.yaml:10", "output", "'${DATA}/out'", "no variables", "~ is"]),
    "escaped NUL": (add('environment: {A: "a\\0b"}'), ["job.yaml:10", "'\\x00'"]),
    "half a surrogate pair": (add('environment: {A: "\\ud800"}'), ["job.yaml:10", "'\\ud800'"]),
    "half of an escaped pair": (add('environment: {A: "\\ude00\\ud83d"}'), ["job.yaml:10", "'\\ude00' may not stand"]),
    "escape beyond Unicode": (add('environment: {A: "\\UFFFFFFFF"}'), ["job.yaml:10", "not valid YAML", "single quotes"]),
    "path of another system in double quotes": (add(r'environment: {A: "C:\Users\data"}'), ["job.yaml:10", "single quotes"]),
    "version of thousands of digits": (f"%YAML 1.{'1' * 5000}\n---\n{GOOD}".encode(), ["job.yaml:1", "not valid YAML"]),
    "objective without a name": (
        swap("metric: accuracy", "metric: ''"),
        ["job.yaml:3", "objective.metric: ''", "1 to 255 characters"],
    ),
    "null among the values": (swap(KERNEL, "[rbf, null]"), ["job.yaml:7", "ranges.kernel: 'null'", "in quotes", "'null'."]),
    "tabs": (swap("  C: {", "\tC: {"), ["job.yaml:5", "spaces"]),
    "indented by one": (
        swap("  degree:", "   degree:"),
        ["job.yaml:6", "not valid YAML", "Indent it as far as its neighbours"],
    ),
    "no-break spaces": (swap("  degree:", "\u00a0\u00a0degree:"), ["not valid YAML", "plain spaces"]),
    "no colon": (swap("name: digits", "name digits"), ["job.yaml:2", "the line above lacks its colon"]),
    "no space after a colon": (swap("{cv: 5}", "{cv:5}"), ["job.yaml:8", "static.cv:5", "a space after the colon: cv: 5."]),
    "no space after a key's colon": (swap("{min: 2,", "{min:2,"), ["ranges.degree.min:2", "a space after the colon: min: 2."]),
    "regex without quotes": (swap(REGEX, REGEX.strip("'")), ["job.yaml:3", "not valid YAML", "regular expressions"]),
    "regex in double quotes": (swap(REGEX, r'"acc=(\d+)"'), ["job.yaml:3", "not valid YAML", "single quotes"]),
    "curly quotes": (swap(REGEX, "\u2018acc=([0-9]+)\u2019"), ["job.yaml:3", "not valid YAML", "straight quotes"]),
    "limits nothing": (swap("{jobs: 24, parallel: 2, runtime: 1h}", ""), ["job.yaml:9", "limits", "nothing is written here"]),
    "unclosed bracket": (swap(KERNEL, "[rbf, poly"), ["not valid YAML"]),
    "unclosed quote": (swap(REGEX, "'accuracy=([0-9.]+)"), ["not valid YAML"]),
    "colon in text": (swap("command: python train.py", "command: python: train.py"), ["job.yaml:2", "not valid YAML"]),
    "two documents": ((GOOD + "---\n" + GOOD).encode(), ["job.yaml:10", "several documents"]),
    "python tag": (swap("name: digits", "name: !!python/object/apply:os.system ['true']"), ["job.yaml:1", "os.system", "tags"]),
    "tag": (swap("cv: 5", "cv: !!str 5"), ["job.yaml:8", "tag:yaml.org,2002:str"]),
    "own tag": (swap("cv: 5", "cv: !secret 5"), ["job.yaml:8", "!secret"]),
    "anchor": (swap("name: digits", "name: &n digits"), ["job.yaml:1", "'&n'"]),
    "alias": (swap("name: digits", "name: *n"), ["job.yaml:1", "'*n'"]),
    "bomb": (bomb().encode(), ["job.yaml:1", "'&a0'"]),
    "merge key": (add("<<: {retries: 2}"), ["job.yaml:10", "<<", "unknown key"]),
    "deep": (("name: " + "[" * 5_000).encode(), ["deep"]),
    "deeper": (("name: " + "[" * 400_000).encode(), ["deep"]),
    "many values": (("name: [" + "a," * 30_000 + "a]").encode(), ["20,000"]),
    "duplicate key": (add("name: other"), ["job.yaml:10", "'name'", "twice", "line 1"]),
    "duplicate range": (swap("  degree:", "  C: {min: 1, max: 2}\n  degree:"), ["job.yaml:6", "'C'", "twice"]),
    "key is a list": (add("[a, b]: 1"), ["job.yaml:10", "key"]),
    "empty key": (add("'': 1"), ["job.yaml:10", "key"]),
    # keys
    "key of another tool": (swap("ranges:", "search_space:"), ["job.yaml:4", "search_space", "unknown key", "'ranges'"]),
    "key close to two": (swap("ranges:", "params:"), ["job.yaml:4", "params", "unknown key", "'ranges'"]),
    "key of another tool, further in": (add("n_trials: 9"), ["job.yaml:10", "n_trials", "'limits.jobs'"]),
    "a note": (add("notes: hi"), ["job.yaml:10", "notes: unknown key. Did you mean 'tags'?"]),
    "gpus outside": (add("gpus: 1"), ["job.yaml:10", "gpus: unknown key. Did you mean 'resources.gpus'?"]),
    "unknown key": (add("paralel: 2"), ["job.yaml:10", "paralel", "unknown key", "'limits.parallel'"]),
    "key of many characters": (add("k" * 1_000 + ": 1"), ["job.yaml:10", "kkk...", "unknown"]),
    "key that commands a terminal": (add('"\\e[31m": 1'), ["job.yaml:10", "\\x1b[31m", "unknown key"]),
    "range that commands a terminal": (swap("  C: {min: 1e-3", '  "\\e[31m": {min: x'), ["ranges.\\x1b[31m.min", "'x'"]),
    "misspelt key": (swap("objective:", "objectiv:"), ["job.yaml:3", "objectiv", "'objective'"]),
    "misspelt limit": (swap("parallel: 2", "paralell: 2"), ["job.yaml:9", "limits.paralell", "'parallel'"]),
    "misspelt range key": (swap("{min: 2, max: 5", "{minimum: 2, max: 5"), ["job.yaml:6", "ranges.degree.minimum", "'min'"]),
    "misspelt goal key": (swap("goal: maximize", "gaol: maximize"), ["objective.gaol", "'goal'"]),
    "key of SageMaker": (add("HyperParameterTuningJobName: x"), ["HyperParameterTuningJobName", "unknown key"]),
    "unicode key": (add("größe: 3"), ["job.yaml:10", "größe", "unknown key"]),
    "no name": (swap("name: digits\n", ""), ["name", "missing"]),
    "no command": (swap("command: python train.py\n", ""), ["command", "missing"]),
    "no objective": (swap(GOOD.splitlines()[2] + "\n", ""), ["objective", "missing"]),
    "no ranges": (swap(RANGES, ""), ["ranges", "missing"]),
    "no metric": (swap("metric: accuracy, ", ""), ["objective.metric", "missing"]),
    "no goal": (swap("goal: maximize, ", ""), ["objective.goal", "missing"]),
    "no max": (swap("min: 2, max: 5", "min: 2"), ["ranges.degree.max", "missing"]),
    # names
    "empty name": (swap("name: digits", "name: ''"), ["job.yaml:1", "name", "''"]),
    "nothing as name": (swap("name: digits", "name:"), ["job.yaml:1", "name", "nothing"]),
    "unicode name": (swap("name: digits", "name: zürich"), ["job.yaml:1", "'zürich'"]),
    "emoji name": (swap("name: digits", "name: 🚀"), ["job.yaml:1", "🚀"]),
    "long name": (swap("name: digits", "name: " + "x" * 33), ["job.yaml:1", "xxx", "32"]),
    "very long name": (swap("name: digits", "name: " + "x" * 100_000), ["job.yaml:1", "...", "32"]),
    "name with space": (swap("name: digits", "name: my job"), ["job.yaml:1", "'my job'"]),
    "name with trailing hyphen": (swap("name: digits", "name: job-"), ["job.yaml:1", "'job-'"]),
    "name is a list": (swap("name: digits", "name: [a]"), ["job.yaml:1", "name", "a list"]),
    # ranges
    "ranges a list": (swap(RANGES, "ranges: [C, degree]\n"), ["ranges", "a list"]),
    "ranges empty": (swap(RANGES, "ranges: {}\n"), ["ranges", "{}"]),
    "range a number": (swap(C, "5"), ["ranges.C", "'5'", "static"]),
    "min is text": (swap("min: 1e-3", "min: abc"), ["job.yaml:5", "ranges.C.min", "'abc'", "not a number"]),
    "min is nothing": (swap("min: 1e-3", "min:"), ["job.yaml:5", "ranges.C.min"]),
    "min is true": (swap("min: 1e-3", "min: true"), ["ranges.C.min", "'true'", "not a number"]),
    "min is a list": (swap("min: 1e-3", "min: [1]"), ["ranges.C.min", "a list"]),
    "min is nan": (swap("min: 1e-3", "min: .nan"), ["ranges.C.min", "'.nan'", "finite"]),
    "max is inf": (swap("max: 1e3", "max: .inf"), ["ranges.C.max", "'.inf'", "finite"]),
    "max overflows": (swap("max: 1e3", "max: 1e999"), ["ranges.C.max", "'1e999'", "too large"]),
    "max of 500 digits": (swap("max: 5", "max: " + "9" * 500), ["ranges.degree.max", "not a number"]),
    "max of 350 digits": (swap("max: 5", "max: " + "9" * 350), ["ranges.degree.max", "too large"]),
    "decimal comma": (swap("min: 1e-3", "min: '0,001'"), ["ranges.C.min", "'0,001'", "decimal point"]),
    "decimal comma without quotes": (
        swap("max: 1e3", "max: 0,5"),
        ["job.yaml:5", "ranges.C.5: unknown key. A comma ends a value here: write numbers with a decimal point, as in 0.5."],
    ),
    "ranges as lists of their ends": (
        swap(RANGES, "ranges: {C: [1, 9], degree: [2, 5], kernel: [rbf]}\n"),
        ["job.yaml:6", "limits.jobs: 24: the ranges have only 4", "ranges.C: [1, 9] is a choice of two values."],
    ),
    "separators": (swap("max: 1e3", "max: 1_000"), ["ranges.C.max", "'1_000'", "separators"]),
    "too wide": (swap(C, "{min: -1.7e308, max: 1.7e308}"), ["ranges.C", "too wide"]),
    "reversed": (swap("min: 1e-3, max: 1e3", "min: 1e3, max: 1e-3"), ["job.yaml:5", "ranges.C", "reversed", "[1000.0, 0.001]"]),
    "reversed integers": (swap("min: 2, max: 5", "min: 5, max: 2"), ["job.yaml:6", "ranges.degree", "[5, 2]", "reversed"]),
    "log with zero": (swap("min: 1e-3", "min: 0"), ["job.yaml:5", "ranges.C", "0.0", "above 0"]),
    "log with a negative": (swap("min: 1e-3", "min: -1"), ["ranges.C", "-1.0", "above 0"]),
    "reverse log over 1": (swap("logarithmic", "reverse_logarithmic"), ["ranges.C", "max < 1"]),
    "reverse log of integers": (
        swap("type: integer", "type: integer, scaling: ReverseLogarithmic"),
        ["ranges.degree", "Reverse"],
    ),
    "unknown scaling": (swap("logarithmic", "logaritmic"), ["ranges.C.scaling", "'logaritmic'", "'logarithmic'"]),
    "unknown type": (swap("type: integer", "type: int32"), ["ranges.degree.type", "'int32'", "integer"]),
    "integer with a fraction": (swap("min: 2,", "min: 2.5,"), ["ranges.degree.min", "'2.5'", "whole"]),
    "no categories": (swap(KERNEL, "[]"), ["ranges.kernel", "at least one"]),
    "category twice": (swap(KERNEL, "[rbf, rbf]"), ["ranges.kernel", "'rbf'", "twice"]),
    "category a list": (swap(KERNEL, "[[rbf], poly]"), ["ranges.kernel", "a list"]),
    "category nothing": (swap(KERNEL, "[rbf, ~]"), ["ranges.kernel", "'~'"]),
    "31 categories": (swap(KERNEL, str(list(range(31)))), ["job.yaml:7: ", "kernel", "31", "30"]),
    "values and min": (swap(KERNEL, "{values: [a], min: 1}"), ["ranges.kernel.min", "'1'"]),
    "values a word": (swap(KERNEL, "{values: rbf}"), ["ranges.kernel", "'rbf'", "a list of values", "Write [rbf]."]),
    "values and integer": (swap(DEGREE, "{type: integer, values: [1, 2]}"), ["ranges.degree.values"]),
    "31 ranges": (
        swap(RANGES, "ranges: {" + ", ".join(f"x{i}: {{min: 0, max: 1}}" for i in range(31)) + "}\n"),
        ["job.yaml:4: ", "tunable", "31", "30"],
    ),
    "static and tuned": (swap("{cv: 5}", "{C: 5}"), ["job.yaml:8", "static.C", "'5'", "tuned and static"]),
    "static a list": (swap("{cv: 5}", "{cv: [5]}"), ["static.cv", "a list"]),
    "static not a table": (swap("{cv: 5}", "5"), ["static", "'5'"]),
    "101 hyperparameters": (
        swap("{cv: 5}", "{" + ", ".join(f"s{i}: 1" for i in range(97)) + "}"),
        ["job.yaml:8", "hyperparameters", "_tuning_objective_metric: 101", "100"],
    ),
    # objective and metrics
    "goal": (swap("goal: maximize", "goal: best"), ["objective.goal", "'best'", "maximize"]),
    "objective a word": (swap(GOOD.splitlines()[2], "objective: accuracy"), ["objective", "'accuracy'"]),
    "unknown metric": (swap(f", regex: {REGEX}", ""), ["job.yaml:3", "objective.metric", "'accuracy'", "regex"]),
    "other metric": (
        (swap(f", regex: {REGEX}", "") + b"metrics: {loss: 'loss=(.*)'}\n"),
        ["objective.metric", "'accuracy'", "loss"],
    ),
    "metric twice": (add("metrics: {accuracy: 'acc=(.*)'}"), ["job.yaml:10", "metrics.accuracy", "already"]),
    "regex without a group": (swap(REGEX, "'accuracy=[0-9.]+'"), ["job.yaml:3", "objective.regex", "no group"]),
    "regex with look-ahead": (swap(REGEX, "'accuracy=(?=x)([0-9.]+)'"), ["objective.regex", "(?=x)", "look-around"]),
    "regex with back-reference": (swap(REGEX, "'(a)\\1'"), ["objective.regex", "back-references"]),
    "regex broken": (swap(REGEX, "'accuracy=(['"), ["objective.regex", "'accuracy=(['"]),
    "regex empty": (swap(REGEX, "''"), ["objective.regex", "''"]),
    "regex a list": (swap(REGEX, "[a]"), ["objective.regex", "a list"]),
    "regex long": (swap(REGEX, "'(" + "x" * 600 + ")'"), ["objective.regex", "500"]),
    "other regex without a group": (add("metrics: {loss: loss}"), ["job.yaml:10", "metrics.loss", "'loss'", "no group"]),
    "metrics a list": (add("metrics: [loss]"), ["job.yaml:10", "metrics", "a list"]),
    # an image
    "an image beside a command": (add("image: pytorch-training"), ["job.yaml:10", "image: 'pytorch-training'", "`command`"]),
    "source of an image": (
        swap("command: python train.py", "image: pytorch-training\nsource: ."),
        ["job.yaml:3", "source: '.'", "`command`", "static.sagemaker_submit_directory"],
    ),
    "python of an image": (
        swap("command: python train.py", "image: pytorch-training\npython: .venv"),
        ["job.yaml:3", "python: '.venv'", "`command`", "images.yaml"],
    ),
    "arguments of an image": (
        swap("command: python train.py", "image: pytorch-training\narguments: none"),
        ["job.yaml:3", "arguments: 'none'", "`command`"],
    ),
    # limits
    "jobs zero": (swap("jobs: 24", "jobs: 0"), ["job.yaml:9", "limits.jobs", "'0'", "at least 1"]),
    "jobs negative": (swap("jobs: 24", "jobs: -3"), ["limits.jobs", "'-3'"]),
    "jobs a fraction": (swap("jobs: 24", "jobs: 2.5"), ["limits.jobs", "'2.5'", "whole"]),
    "jobs text": (swap("jobs: 24", "jobs: many"), ["limits.jobs", "'many'"]),
    "no limit at all": (swap(GOOD.splitlines()[8] + "\n", ""), ["limits.jobs: needed"]),
    "too many jobs": (swap("jobs: 24", "jobs: 100001"), ["100001", "100000"]),
    "more parallel than jobs": (swap("parallel: 2", "parallel: 25"), ["job.yaml:9", "limits.parallel", "25", "24"]),
    "runtime nonsense": (swap("runtime: 1h", "runtime: soon"), ["limits.runtime", "'soon'", "1h30m"]),
    "runtime sexagesimal": (swap("runtime: 1h", "runtime: '1:30'"), ["limits.runtime", "'1:30'"]),
    "runtime too short": (swap("runtime: 1h", "runtime: 5s"), ["job.yaml:9", "limits.runtime", "'5s'", "2 minutes"]),
    "runtime too long": (swap("runtime: 1h", "runtime: 200d"), ["job.yaml:9", "limits.runtime", "'200d'", "182.5 days"]),
    "runtime negative": (swap("runtime: 1h", "runtime: -5"), ["limits.runtime", "'-5'"]),
    "job_runtime too long": (swap("runtime: 1h", "job_runtime: 20000d"), ["job.yaml:9", "limits.job_runtime", "'20000d'"]),
    "limits a list": (swap("{jobs: 24, parallel: 2, runtime: 1h}", "[24]"), ["limits", "a list"]),
    # strategy
    "unknown strategy": (add("strategy: bayes"), ["job.yaml:10", "strategy", "'bayes'", "'bayesian'"]),
    "grid with continuous": (add("strategy: grid"), ["job.yaml:5", "ranges.C", "lists"]),
    "grid too large": (
        swap(RANGES, f"strategy: grid\nranges: {{a: {list(range(28))}, b: {list(range(28))}}}\n"),
        ["784", "750"],
    ),
    "grid with another number of jobs": (
        swap(RANGES, "strategy: grid\nranges: {a: [1, 2], b: [x, y]}\n"),
        ["limits.jobs", "24", "4"],
    ),
    "space too small": (swap(RANGES, "ranges: {a: [1, 2], b: [x, y]}\n"), ["limits.jobs", "24", "4 combinations"]),
    "seed negative": (add("seed: -1"), ["job.yaml:10", "seed", "'-1'"]),
    "seed text": (add("seed: lucky"), ["seed", "'lucky'"]),
    "seed too large": (add("seed: 9223372036854775808"), ["job.yaml:10", "seed", "9223372036854775808"]),
    "channels that share a variable": (
        add("channels: {train: a, test: b, Train: c}"),
        ["job.yaml:10: channels.Train: 'c': the channel 'train' has the same variable, SM_CHANNEL_TRAIN", "more than case"],
    ),
    "hyperband without its largest resource": (
        add("strategy: hyperband"),
        ["hyperband.max_resource: missing, and no static", "hyperband: {max_resource: N}"],
    ),
    "hyperband with early stopping": (
        add("strategy: hyperband\nhyperband: {max_resource: 9}\nearly_stopping: auto"),
        ["job.yaml:12: early_stopping: 'auto': Hyperband stops", "Set it to off."],
    ),
    "hyperband with bayesian": (add("hyperband: {max_resource: 9}"), ["hyperband"]),
    "early stopping": (add("early_stopping: maybe"), ["job.yaml:10", "early_stopping", "'maybe'"]),
    "target": (add("completion: {target: high}"), ["completion.target", "'high'"]),
    "not improving": (add("completion: {not_improving: 2}"), ["completion.not_improving", "'2'", "3"]),
    "convergence": (add("completion: {convergence: 3}"), ["completion.convergence", "'3'"]),
    # paths
    "home of nobody, source": (add("source: ~nosuchuser/x"), ["job.yaml:10", "source", "'~nosuchuser/x'", "whole path"]),
    "home of nobody, python": (add("python: ~nosuchuser"), ["job.yaml:10", "python", "'~nosuchuser'", "whole path"]),
    "home of nobody, output": (add("output: {uri: ~nosuchuser/x}"), ["job.yaml:10", "output.uri", "'~nosuchuser/x'"]),
    "home of nobody, channel": (add("channels: {train: ~nosuchuser/x}"), ["job.yaml:10", "channels.train", "'~nosuchuser/x'"]),
    # warm start
    "warm start type": (add("warm_start: {type: same, parents: [a]}"), ["warm_start.type", "'same'", "identical"]),
    "warm start without parents": (add("warm_start: {type: transfer}"), ["warm_start.parents", "missing"]),
    "no parents": (add("warm_start: {type: transfer, parents: []}"), ["job.yaml:10", "warm_start.parents", "[]"]),
    "six parents": (add("warm_start: {type: transfer, parents: [a, b, c, d, e, f]}"), ["warm_start.parents", "6"]),
    "parent twice": (add("warm_start: {type: transfer, parents: [a, A]}"), ["warm_start.parents", "twice"]),
    "its own parent": (add("warm_start: {type: transfer, parents: [digits]}"), ["warm_start.parents", "'digits'", "own"]),
    "parents a word": (add("warm_start: {type: transfer, parents: a}"), ["warm_start.parents", "'a'", "list", "Write [a]."]),
    "parents two words": (add("warm_start:\n  type: transfer\n  parents: a, b"), ["job.yaml:12", "'a, b'", "Write [a, b]."]),
    "parents a table": (
        add("warm_start: {type: transfer, match: relaxed, parents: {job: a, names: {C: c}}}"),
        ["job.yaml:10", "warm_start.parents", "a list", "Put it in brackets: [{...}]."],
    ),
    "match": (add("warm_start: {type: transfer, parents: [a], match: loose}"), ["job.yaml:10", "warm_start.match", "'loose'"]),
    "recursion without relaxed": (
        add("warm_start: {type: transfer, parents: [a], recursive: true}"),
        ["job.yaml:10", "warm_start.recursive", "match: relaxed"],
    ),
    "names without relaxed": (
        add("warm_start: {type: transfer, parents: [{job: a, names: {C: c}}]}"),
        ["job.yaml:10", "warm_start.parents", "match: relaxed"],
    ),
    "parent without a name": (
        add("warm_start: {type: transfer, match: relaxed, parents: [{names: {C: c}}]}"),
        ["job.yaml:10", "warm_start.parents.job", "missing"],
    ),
    "parent with an odd key": (
        add("warm_start: {type: transfer, match: relaxed, parents: [{job: a, name: b}]}"),
        ["job.yaml:10", "warm_start.parents.name", "unknown key"],
    ),
    "recursive three": (
        add("warm_start: {type: transfer, match: relaxed, parents: [a], recursive: 3}"),
        ["job.yaml:10", "warm_start.recursive", "'3'"],
    ),
    "warm start with grid": (
        swap(RANGES, f"strategy: grid\nwarm_start: {{type: transfer, parents: [a]}}\nranges: {{k: {list(range(24))}}}\n"),
        ["strategy", "Grid", "warm start"],
    ),
    # how it runs
    "command empty": (swap("python train.py", "'  '"), ["job.yaml:2", "command", "empty"]),
    "command with an open quote": (swap("python train.py", "python 'train.py"), ["job.yaml:2", "command", "quotation"]),
    "command a table": (swap("python train.py", "{a: b}"), ["command", "a table"]),
    "retries": (add("retries: 31"), ["job.yaml:10", "retries", "'31'", "30"]),
    "environment": (add("environment: {1A: x}"), ["environment.1A", "'x'"]),
    "environment a list": (add("environment: [A=1]"), ["environment", "a list"]),
    "channel name": (add("channels: {'my data': /tmp}"), ["channels.my data"]),
    "channel without uri": (add("channels: {train: {content_type: text/csv}}"), ["channels.train.uri", "missing"]),
    "channel key": (add("channels: {train: {url: data}}"), ["channels.train.url", "'uri'"]),
    "21 channels": (add("channels: {" + ", ".join(f"c{i}: ." for i in range(21)) + "}"), ["channels", "21", "20"]),
    "compression": (add("output: {compression: zip}"), ["output.compression", "'zip'", "gzip"]),
    "arguments": (add("arguments: json"), ["arguments", "'json'", "cli"]),
    "tags": (add("tags: [a]"), ["tags", "a list"]),
    "tag of odd characters": (add("tags: {a: 'x;y'}"), ["tags.a", "'x;y'"]),
    "tag of two lines": (add('tags: {a: "x\\ny"}'), ["tags.a"]),
    "tag of AWS's": (add("tags: {'AWS:a': x}"), ["tags.AWS:a", "begin with aws:"]),
    "51 tags": (add("tags: {" + ", ".join(f"t{i}: x" for i in range(51)) + "}"), ["tags", "51", "50"]),
    "gpus": (add("resources: {gpus: -1}"), ["resources.gpus", "'-1'"]),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("REKINDLE_HOME", str(home))
    monkeypatch.delenv("REKINDLE_LIMITS", raising=False)
    return home


def write(folder: Path, data: bytes, name: str = "job.yaml") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def check_refusal(code: int, out: str, err: str, expected: list[str]) -> None:
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert "job.yaml" in err
    assert len(err) < 1000
    for text in expected:
        assert text in err


@pytest.mark.parametrize("name", BROKEN)
def test_is_refused_in_one_line(name, home, tmp_path, capfd):
    data, expected = BROKEN[name]
    code = main(["tune", write(tmp_path, data)])
    out, err = capfd.readouterr()
    check_refusal(code, out, err, expected)
    assert not home.exists()


def test_there_are_enough_of_them():
    assert len(BROKEN) >= 60


@pytest.mark.parametrize("name", ["reversed", "10 MB", "deeper", "python tag"])
def test_is_refused_by_the_real_command(name, home, tmp_path):
    data, expected = BROKEN[name]
    command = [str(Path(sys.executable).with_name("rekindle")), "plan", write(tmp_path, data)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "REKINDLE_HOME": str(home)})
    check_refusal(done.returncode, done.stdout, done.stderr, expected)
    assert not home.exists()


def test_a_bad_name_given_as_an_option_does_not_blame_the_file(home, tmp_path, capfd):
    code = main(["tune", write(tmp_path, GOOD.encode()), "--name", "bad name"])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("error: --name: 'bad name': a name has 1 to 32 letters")
    assert not home.exists()


def test_what_else_is_wrong_with_a_renamed_one_is_still_the_file_s(home, tmp_path, capfd):
    data = add("warm_start: {type: transfer, parents: [a, A]}")
    code = main(["tune", write(tmp_path, data), "--name", "other"])
    out, err = capfd.readouterr()
    check_refusal(code, out, err, ["job.yaml:10", "warm_start.parents", "twice"])


def test_the_good_one_passes_the_same_checks(tmp_path):
    from rekindle.cli.source import check_alone, load_source

    source = load_source(write(tmp_path, GOOD.encode()))
    check_alone(source)
    assert source.spec.name == "digits"


@pytest.mark.parametrize(
    ("change", "line", "limit"),
    [
        (swap("jobs: 24", "jobs: 751"), 9, "number of training jobs: 751: the limit is 750"),
        (swap("parallel: 2", "parallel: 11"), 9, "number of parallel training jobs: 11: the limit is 10"),
        (swap("runtime: 1h", "job_runtime: 40d"), 9, "run time of a training job: 3456000: the limit is 2419200"),
        (swap("static: {cv: 5}", f"static: {dict.fromkeys((f's{i}' for i in range(97)), 1)}"), 8, "hyperparameters"),
        (add(f"metrics: {dict.fromkeys((f'm{i}' for i in range(40)), '(x)')}"), 10, "number of metrics: 41: the limit is 40"),
    ],
)
def test_a_limit_has_a_line_too(change, line, limit, home, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("REKINDLE_LIMITS", "aws")
    code = main(["plan", write(tmp_path, change)])
    out, err = capfd.readouterr()
    check_refusal(code, out, err, [f"job.yaml:{line}: ", limit])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("resources: {gpus: 900}", "resources.gpus: 900: the job needs 900 GPUs; "),
        ("channels: {train: gs://bucket/data}", "channels.train.uri: 'gs://bucket/data': data can be at file://"),
    ],
)
def test_what_this_machine_cannot_do_has_a_line_too(wanted, said, home, tmp_path, capfd):
    (tmp_path / "train.py").touch()
    code = main(["tune", write(tmp_path, add(wanted)), "--detach"])
    out, err = capfd.readouterr()
    check_refusal(code, out, err, ["job.yaml:10: ", said])


@pytest.mark.parametrize(
    "wanted", ["output: s3://models/here", "checkpoints: s3://models/here", "channels: {train: s3://data/x}"]
)
def test_results_that_nobody_may_store_are_refused_before_the_work(wanted, home, tmp_path, capfd, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "train.py").touch()
    file = write(tmp_path, add(wanted))
    for command in ("plan", "tune"):
        code = main([command, file])
        out, err = capfd.readouterr()
        check_refusal(
            code, out, err, ["job.yaml:10: ", wanted.partition(":")[0], "no keys for the object store", "AWS_ACCESS_KEY_ID"]
        )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert main(["plan", file]) == 4, "nobody answers there"
    assert "does not answer" in capfd.readouterr().err


@pytest.mark.parametrize("path", ["", ".", "missing/job.yaml", "a\0b"])
def test_a_file_that_cannot_be_read(path, home, capfd):
    assert main(["tune", path]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not home.exists()


REQUESTS = {
    "cut off": (b'{"HyperParameterTuningJobName": "x",', ["not valid JSON", ":1"]),
    "twice": (b'{"HyperParameterTuningJobName": "x", "HyperParameterTuningJobName": "y"}', ["twice"]),
    "NaN": (b'{"HyperParameterTuningJobName": NaN}', ["NaN"]),
    "deep": (b'{"HyperParameterTuningJobName": ' + b"[" * 200_000, ["deep"]),
    "5000 digits": (b'{"HyperParameterTuningJobName": ' + b"9" * 5_000 + b"}", ["not valid JSON"]),
    "no config": (b'{"HyperParameterTuningJobName": "x"}', ["hyperParameterTuningJobConfig", "must not be null"]),
    "surrogate": (b'{"HyperParameterTuningJobName": "\\ud800"}', ["HyperParameterTuningJobName", "'\\ud800'"]),
    "config a list": (
        b'{"HyperParameterTuningJobName": "x", "HyperParameterTuningJobConfig": [1]}',
        ["hyperParameterTuningJobConfig"],
    ),
    "empty name": (
        b'{"HyperParameterTuningJobName": "", "HyperParameterTuningJobConfig": {}}',
        ["hyperParameterTuningJobName"],
    ),
    "unknown key": (b'{"HyperParameterTuningJobName": "x", "WarmStart": {}}', ["WarmStart", "'WarmStartConfig'"]),
    "unknown inner key": (
        b'{"HyperParameterTuningJobName": "x", "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxJobs": 3}}}',
        ["HyperParameterTuningJobConfig.ResourceLimits.MaxJobs", "MaxNumberOfTrainingJobs"],
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_broken_request(name, home, tmp_path, capfd):
    data, expected = REQUESTS[name]
    code = main(["tune", write(tmp_path, data, "job.yaml.json")])
    out, err = capfd.readouterr()
    check_refusal(code, out, err, expected)
    assert not home.exists()


def test_a_json_file_may_be_a_job_file(tmp_path):
    from rekindle.cli.source import load_source

    job = {
        "name": "j",
        "command": "true",
        "objective": {"metric": "m", "goal": "minimize", "regex": "m=(.*)"},
        "ranges": {"x": {"min": 0, "max": 1}},
    }
    assert load_source(write(tmp_path, json.dumps(job).encode(), "job.json")).spec.name == "j"


def test_json_s_escape_of_a_character_beyond_16_bits_is_that_character(tmp_path):
    from rekindle.cli.source import load_source

    text = swap(KERNEL, json.dumps(["a\U0001f680\U0001f600", "b"])).replace(b"cv:", json.dumps("\U0001f600").encode() + b":")
    definition = load_source(write(tmp_path, text, "job.yaml")).spec.definition
    assert definition.ranges[2].values == ("a\U0001f680\U0001f600", "b")
    assert definition.statics == {"\U0001f600": "5"}
