"""Random against Bayesian search: the same job with both, from the same seeds, and the best error as it goes.

python examples/random-or-bayesian/compare.py [--seeds N]
(with a python that has rekindle and scikit-learn)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
REKINDLE = str(Path(sys.executable).parent / "rekindle")
AFTER = (3, 6, 9, 12)


def rekindle(home, *words):
    environ = {**os.environ, "REKINDLE_HOME": home, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([REKINDLE, *words], env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout


def best_as_it_goes(home, strategy, seed):
    """The lowest error after 1, 2, ... training jobs."""
    job = yaml.safe_load((HERE / "job.yaml").read_text())
    job |= {"name": f"{strategy}-{seed}", "strategy": strategy, "seed": seed, "source": str(HERE)}
    path = Path(home) / f"{strategy}-{seed}.yaml"
    path.write_text(yaml.safe_dump(job))
    rekindle(home, "tune", str(path))
    errors = [trial["objective"] for trial in json.loads(rekindle(home, "trials", job["name"], "--json"))]
    return [min(errors[: at + 1]) for at in range(len(errors))]


parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=2)
seeds = range(parser.parse_args().seeds)
print(f"{'':12}" + "".join(f"{f'after {n}':>10}" for n in AFTER), flush=True)
with tempfile.TemporaryDirectory() as home:
    for strategy in ("random", "bayesian"):
        runs = [best_as_it_goes(home, strategy, seed) for seed in seeds]
        for seed, run in zip(seeds, runs, strict=True):
            print(f"{strategy:9} {seed:2}" + "".join(f"{run[n - 1]:10.3f}" for n in AFTER), flush=True)
        print(f"{strategy:9}  *" + "".join(f"{sum(run[n - 1] for run in runs) / len(runs):10.3f}" for n in AFTER), flush=True)
print("The lowest error so far; * is the mean. A few runs of one small problem show how it works, and prove nothing.")
