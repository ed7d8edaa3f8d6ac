"""SageMaker's Python SDK v2 as its users call it, against a real server that runs real training jobs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.serving import REKINDLE

METRICS = [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}]
#: What the rows of a data frame mean.
FRAMED = """
name: framed
command: python train.py
objective: {metric: accuracy, goal: maximize, regex: 'accuracy=([0-9.]+)'}
ranges:
  n-estimators: {min: 3, max: 12, type: integer}
  max-features: {min: 0.1, max: 0.9}
  criterion: ['"gini"', '"entropy"']
limits: {jobs: 3}
"""


@pytest.fixture(scope="session")
def session() -> Any:
    import sagemaker

    return sagemaker.Session()


@pytest.fixture(scope="session")
def role() -> str:
    import sagemaker

    return sagemaker.get_execution_role()


@pytest.fixture(scope="session")
def data(session: Any, digits: Path) -> str:
    return session.upload_data(str(digits), key_prefix="digits")


def sklearn(role: str, **more: Any) -> Any:
    from sagemaker.sklearn import SKLearn

    return SKLearn("train.py", source_dir="code", framework_version="1.2-1", instance_type="ml.m5.large", role=role, **more)


def ranges() -> dict[str, Any]:
    from sagemaker.tuner import ContinuousParameter, IntegerParameter

    return {"n-estimators": IntegerParameter(3, 12), "max-features": ContinuousParameter(0.1, 0.9)}


def tuner(estimator: Any, jobs: int, **more: Any) -> Any:
    from sagemaker.tuner import HyperparameterTuner

    more = {"hyperparameter_ranges": ranges(), "metric_definitions": METRICS, **more}
    return HyperparameterTuner(estimator, "accuracy", max_jobs=jobs, max_parallel_jobs=min(2, jobs), **more)


@pytest.fixture(scope="session")
def mother(role: str, data: str, figure: Callable[[str], None]) -> Any:
    """The first minute: four training jobs of a scikit-learn script, from the call to its end."""
    mother = tuner(sklearn(role), 4)
    began = time.monotonic()
    mother.fit({"train": data}, job_name="mother")
    figure(f"first minute: four training jobs of a scikit-learn script in {time.monotonic() - began:.0f} s")
    return mother


def test_who_and_where_without_a_change(session: Any, role: str) -> None:
    assert session.default_bucket() == "sagemaker-us-east-1-000000000000"
    assert session.account_id() == "000000000000"
    assert role == "arn:aws:iam::000000000000:role/rekindle"
    # The name of the role that a notebook was written with.
    assert session.expand_role("SageMakerRole") == "arn:aws:iam::000000000000:role/SageMakerRole"


def test_the_default_bucket_s_name_comes_from_sts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import sagemaker

    monkeypatch.delenv("SAGEMAKER_USER_CONFIG_OVERRIDE")
    assert sagemaker.Session().default_bucket() == "sagemaker-us-east-1-000000000000"


def test_a_tuning_job_ends(mother: Any) -> None:
    described = mother.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Completed"] == 4


def test_best_training_job_and_estimator(mother: Any) -> None:
    best = mother.best_training_job()
    estimator = mother.best_estimator()
    assert estimator.latest_training_job.name == best
    assert estimator.model_data.endswith(f"/{best}/output/model.tar.gz")
    frame = mother.analytics().dataframe()
    chosen = frame[frame["TrainingJobName"] == best].iloc[0]
    assert chosen["FinalObjectiveValue"] == frame["FinalObjectiveValue"].max()
    assert float(estimator.hyperparameters()["n-estimators"]) == chosen["n-estimators"]


def test_the_model_is_a_real_one(mother: Any, session: Any, tmp_path: Path) -> None:
    import tarfile

    from sagemaker.s3 import S3Downloader

    S3Downloader.download(mother.best_estimator().model_data, str(tmp_path), sagemaker_session=session)
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert archive.getmember("model.joblib").size > 10_000


def test_attach(mother: Any) -> None:
    from sagemaker.tuner import HyperparameterTuner

    attached = HyperparameterTuner.attach("mother")
    assert attached.best_training_job() == mother.best_training_job()
    assert attached.analytics().tuning_ranges["n-estimators"]["MaxValue"] == "12"


def child_of(kind: str, mother: Any, role: str) -> Any:
    from sagemaker import tuner as sdk

    if kind == "config":
        config = sdk.WarmStartConfig(sdk.WarmStartTypes.TRANSFER_LEARNING, parents={"mother"})
        return tuner(sklearn(role), 1, warm_start_config=config)
    made = {
        "identical": lambda: mother.identical_dataset_and_algorithm_tuner(),
        "transfer": lambda: mother.transfer_learning_tuner(estimator=sklearn(role)),
        "create-identical": lambda: sdk.create_identical_dataset_and_algorithm_tuner(parent="mother"),
        "create-transfer": lambda: sdk.create_transfer_learning_tuner(parent="mother", estimator=sklearn(role)),
    }[kind]()
    made.max_jobs = made.max_parallel_jobs = 1
    return made


@pytest.mark.parametrize("kind", ["config", "identical", "transfer", "create-identical", "create-transfer"])
def test_warm_start(mother: Any, role: str, data: str, kind: str) -> None:
    child = child_of(kind, mother, role)
    child.fit({"train": data}, job_name=f"child-{kind}")
    described = child.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    parents = described["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert parents == [{"HyperParameterTuningJobName": "mother"}]
    assert ("OverallBestTrainingJob" in described) == ("identical" in kind)
    definitions = described["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert {"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"} in definitions


def test_a_generic_estimator_and_categories(role: str, data: str) -> None:
    from sagemaker import image_uris
    from sagemaker.estimator import Estimator
    from sagemaker.tuner import CategoricalParameter

    image = image_uris.retrieve("sklearn", "us-east-1", version="1.2-1")
    estimator = Estimator(image, role, 1, "ml.m5.large", entry_point="train.py", source_dir="code")
    generic = tuner(estimator, 2, hyperparameter_ranges={**ranges(), "criterion": CategoricalParameter(["gini", "entropy"])})
    generic.fit({"train": data}, job_name="generic")
    assert generic.best_estimator().hyperparameters()["criterion"] in ("gini", "entropy")


def test_categories_of_a_framework_keep_their_quotes(role: str, data: str) -> None:
    from sagemaker.tuner import CategoricalParameter

    quoted = tuner(sklearn(role), 1, hyperparameter_ranges={"criterion": CategoricalParameter(["gini", "entropy"])})
    quoted.fit({"train": data}, job_name="quoted")
    assert quoted.describe()["TrainingJobStatusCounters"]["Completed"] == 1
    assert quoted.best_estimator().hyperparameters()["criterion"] in ('"gini"', '"entropy"')


def test_a_data_frame_becomes_history_and_a_parent(role: str, data: str, tmp_path: Path) -> None:
    """What ``analytics().dataframe()`` shows, written by pandas with its index or without. A job file says what the columns
    mean, or the tuning job's description, which also has the hyperparameters that the SDK adds to an estimator's own."""
    from sagemaker import tuner as sdk
    from sagemaker.analytics import HyperparameterTuningJobAnalytics

    chosen = {**ranges(), "criterion": sdk.CategoricalParameter(["gini", "entropy"])}
    there = tuner(sklearn(role), 3, hyperparameter_ranges=chosen)
    there.fit({"train": data}, job_name="framed")
    frame = there.analytics().dataframe()
    (tmp_path / "job.yaml").write_text(FRAMED)
    (tmp_path / "describe.json").write_text(json.dumps(there.describe(), default=str))
    for name, meaning, index in (("by-job-file", "job.yaml", True), ("by-description", "describe.json", False)):
        frame.to_csv(tmp_path / f"{name}.csv", index=index)
        command = [REKINDLE, "import", meaning, f"{name}.csv", "--name", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        again = HyperparameterTuningJobAnalytics(name).dataframe()
        same = ["n-estimators", "max-features", "criterion", "FinalObjectiveValue", "TrainingJobStatus"]
        assert sorted(again[same].to_numpy().tolist()) == sorted(frame[same].to_numpy().tolist())
    config = sdk.WarmStartConfig(sdk.WarmStartTypes.TRANSFER_LEARNING, parents={"by-description"})
    child = tuner(sklearn(role), 1, hyperparameter_ranges=chosen, warm_start_config=config)
    child.fit({"train": data}, job_name="child-of-a-frame")
    assert child.describe()["HyperParameterTuningJobStatus"] == "Completed"


def test_several_estimators(role: str, data: str) -> None:
    from sagemaker.tuner import HyperparameterTuner

    both = {"one": sklearn(role), "two": sklearn(role, hyperparameters={"criterion": "entropy"})}
    several = HyperparameterTuner.create(
        estimator_dict=both,
        objective_metric_name_dict=dict.fromkeys(both, "accuracy"),
        hyperparameter_ranges_dict={name: ranges() for name in both},
        metric_definitions_dict=dict.fromkeys(both, METRICS),
        max_jobs=4,
        max_parallel_jobs=2,
    )
    # The SDK's own default, False, is refused by its own check.
    several.fit({name: {"train": data} for name in both}, job_name="several", include_cls_metadata={})
    several.wait()
    frame = several.analytics().dataframe()
    assert len(frame) == 4
    assert set(frame["TrainingJobDefinitionName"]) == set(both)
    assert HyperparameterTuner.attach("several").best_training_job() in set(frame["TrainingJobName"])


def test_stop(role: str, data: str) -> None:
    long = tuner(sklearn(role), 50)
    long.fit({"train": data}, wait=False, job_name="stopped")
    long.stop_tuning_job()
    long.wait()
    assert long.describe()["HyperParameterTuningJobStatus"] == "Stopped"


def test_one_training_job_with_its_log_and_its_curve(role: str, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sagemaker.analytics import TrainingJobAnalytics

    estimator = sklearn(role, metric_definitions=METRICS, hyperparameters={"n-estimators": 5})
    estimator.fit({"train": data}, logs="All")
    assert "accuracy=0." in capsys.readouterr().out
    frame = TrainingJobAnalytics(estimator.latest_training_job.name, ["accuracy"]).dataframe()
    assert frame["metric_name"].tolist() == ["accuracy"]
    assert 0.5 < frame["value"][0] <= 1.0


def test_a_failure_is_told_as_the_toolkit_does(role: str, data: str) -> None:
    from sagemaker.exceptions import UnexpectedStatusException

    with pytest.raises(UnexpectedStatusException, match="AlgorithmError: ExecuteUserScriptError"):
        sklearn(role, hyperparameters={"criterion": "nonsense"}).fit({"train": data}, logs=False)


SCRIPTS = str(Path(__file__).parent / "scripts")


def sgd(role: str, **values: Any) -> Any:
    from sagemaker.sklearn import SKLearn

    return SKLearn("sgd.py", source_dir=SCRIPTS, framework_version="1.2-1", instance_type="ml.m5.large", role=role, **values)


def alphas() -> dict[str, Any]:
    from sagemaker.tuner import ContinuousParameter

    return {"alpha": ContinuousParameter(1e-6, 1e-1, "Logarithmic")}


def test_hyperband(role: str, data: str) -> None:
    from sagemaker.tuner import HyperbandStrategyConfig, StrategyConfig

    config = StrategyConfig(HyperbandStrategyConfig(max_resource=9, min_resource=1))
    made = tuner(
        sgd(role, hyperparameters={"epochs": 9}),
        6,
        strategy="Hyperband",
        strategy_config=config,
        hyperparameter_ranges=alphas(),
    )
    made.fit({"train": data}, job_name="hyperband")
    described = made.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    resources = described["HyperParameterTuningJobConfig"]["StrategyConfig"]["HyperbandStrategyConfig"]
    assert resources == {"MinResource": 1, "MaxResource": 9}
    counters = described["TrainingJobStatusCounters"]
    assert counters["Completed"] + counters["Stopped"] == 6
    assert made.analytics().dataframe()["FinalObjectiveValue"].notna().all()


def test_completion_criteria(role: str, data: str) -> None:
    from sagemaker.tuner import TuningJobCompletionCriteriaConfig

    criteria = TuningJobCompletionCriteriaConfig(
        max_number_of_training_jobs_not_improving=30, complete_on_convergence=True, target_objective_metric_value=0.3
    )
    made = tuner(sgd(role), 40, hyperparameter_ranges=alphas(), completion_criteria_config=criteria, random_seed=1)
    made.fit({"train": data}, job_name="criteria")
    described = made.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert sum(described["TrainingJobStatusCounters"].values()) < 40
    assert described["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] >= 0.3
    attached = type(made).attach("criteria")
    assert attached.completion_criteria_config.target_objective_metric_value == 0.3


def test_autotune(role: str, data: str) -> None:
    from sagemaker.tuner import HyperparameterTuner

    estimator = sgd(role, hyperparameters={"epochs": 2})
    # Of a framework's estimator this makes JSON of the number twice.
    estimator.set_hyperparameters(alpha=0.001)
    made = HyperparameterTuner(
        estimator,
        "accuracy",
        {},
        metric_definitions=METRICS,
        max_jobs=2,
        max_parallel_jobs=2,
        autotune=True,
        hyperparameters_to_keep_static=["epochs"],
    )
    made.fit({"train": data}, job_name="autotune")
    described = made.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["Autotune"] == {"Mode": "Enabled"}
    # What the SDK's estimator adds by itself is not tuned.
    assert set(made.analytics().tuning_ranges) == {"alpha"}
    tried = [float(v) for v in made.analytics().dataframe()["alpha"]]
    assert len(set(tried)) == 2
    assert all(0.0001 <= v <= 0.01 for v in tried)


def test_random_search_with_early_stopping(role: str, data: str) -> None:
    made = tuner(sgd(role), 3, strategy="Random", early_stopping_type="Auto", hyperparameter_ranges=alphas())
    made.fit({"train": data}, job_name="random")
    assert made.describe()["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] == "Auto"
    assert made.best_training_job().startswith("random-")


def test_what_a_script_leaves_in_its_output_folder(role: str, data: str) -> None:
    import boto3

    estimator = sgd(role)
    estimator.fit({"train": data}, logs=False)
    job = estimator.latest_training_job.describe()
    bucket, _, prefix = job["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://").partition("/")
    key = "/".join(part for part in (prefix.strip("/"), job["TrainingJobName"], "output/output.tar.gz") if part)
    assert boto3.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 100


def test_an_xgboost_script_as_it_is(role: str, data: str) -> None:
    from sagemaker.xgboost import XGBoost

    estimator = XGBoost(
        "boost.py",
        source_dir=SCRIPTS,
        framework_version="1.7-1",
        instance_count=1,
        instance_type="ml.m5.large",
        role=role,
        hyperparameters={"objective": "multi:softmax", "num_class": 10, "num_round": 3, "max_depth": 3, "eta": 0.3},
    )
    estimator.fit({"train": data, "validation": data}, logs=False)
    described = estimator.latest_training_job.describe()
    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model.tar.gz")


def test_the_built_in_xgboost_is_tuned_and_warm_started(session: Any, role: str, data: str, tmp_path: Path) -> None:
    """As the notebooks do it: an image without a script, the algorithm's own metric, a child of its tuning job."""
    import tarfile

    from sagemaker import image_uris
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.s3 import S3Downloader
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner, IntegerParameter

    image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
    estimator = Estimator(image, role, instance_count=1, instance_type="ml.m5.xlarge", sagemaker_session=session)
    estimator.set_hyperparameters(objective="multi:softmax", num_class=10, num_round=4)
    ranges = {"eta": ContinuousParameter(0.05, 0.9), "max_depth": IntegerParameter(1, 5)}
    parent = HyperparameterTuner(
        estimator, "validation:merror", ranges, objective_type="Minimize", max_jobs=3, max_parallel_jobs=2
    )
    channels = {name: TrainingInput(data, content_type="csv") for name in ("train", "validation")}
    parent.fit(channels, job_name="boosted")
    child = parent.identical_dataset_and_algorithm_tuner()
    child.max_jobs = child.max_parallel_jobs = 1
    child.fit(channels, job_name="boosted-child")
    frame = parent.analytics().dataframe()
    assert len(frame) == 3
    assert frame["FinalObjectiveValue"].between(0, 1).all()
    assert child.describe()["WarmStartConfig"]["ParentHyperParameterTuningJobs"] == [{"HyperParameterTuningJobName": "boosted"}]
    assert child.describe()["OverallBestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] <= min(
        frame["FinalObjectiveValue"]
    )
    S3Downloader.download(parent.best_estimator().model_data, str(tmp_path), sagemaker_session=session)
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert archive.getmember("xgboost-model").size > 1000


def has_torch() -> bool:
    """Whether the jobs' Python, which is beside the command, has PyTorch."""
    python = Path(REKINDLE).parent / "python"
    return subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0


def test_a_pytorch_script_as_it_is_or_what_to_do(role: str, data: str) -> None:
    """Where the jobs' Python has PyTorch it runs; where it has not, the failure says what to do."""
    from sagemaker.exceptions import UnexpectedStatusException
    from sagemaker.pytorch import PyTorch

    estimator = PyTorch(
        "net.py",
        source_dir=SCRIPTS,
        framework_version="2.1",
        py_version="py310",
        instance_count=1,
        instance_type="ml.g5.xlarge",
        role=role,
        hyperparameters={"epochs": 2, "lr": 0.01, "backend": "gloo"},
    )
    with contextlib.nullcontext() if has_torch() else pytest.raises(UnexpectedStatusException) as failed:
        estimator.fit({"train": data}, logs=False)
    if failed is not None:
        assert "No module named 'torch'" in str(failed.value)
        assert "choose another environment in images.yaml" in str(failed.value)
    assert estimator.latest_training_job.describe()["AlgorithmSpecification"]["TrainingImage"].endswith("2.1-gpu-py310")


IMAGES = [
    ("sklearn", {"version": "1.2-1"}),
    ("xgboost", {"version": "1.7-1"}),
    ("xgboost", {"version": "1"}),
    ("pytorch", {"version": "2.1.0", "py_version": "py310", "instance_type": "ml.m5.large", "image_scope": "training"}),
    ("tensorflow", {"version": "2.14.1", "py_version": "py310", "instance_type": "ml.g5.xlarge", "image_scope": "training"}),
    ("mxnet", {"version": "1.9.0", "py_version": "py38", "instance_type": "ml.m5.large", "image_scope": "training"}),
    ("autogluon", {"version": "1.1.1", "py_version": "py311", "instance_type": "ml.m5.large", "image_scope": "training"}),
    (
        "huggingface",
        {
            "version": "4.36.0",
            "base_framework_version": "pytorch2.1.0",
            "py_version": "py310",
            "instance_type": "ml.g5.xlarge",
            "image_scope": "training",
        },
    ),
]


def test_every_framework_s_image_runs_a_script(mother: Any, role: str, data: str) -> None:
    """By the names that the SDK makes for another region; each trains the same script."""
    import boto3
    from sagemaker import image_uris

    client = boto3.client("sagemaker")
    described = client.describe_training_job(TrainingJobName=mother.best_training_job())
    names = {}
    for number, (framework, how) in enumerate(IMAGES):
        names[f"image-{number}"] = image = image_uris.retrieve(framework, "eu-west-1", **how)
        client.create_training_job(
            TrainingJobName=f"image-{number}",
            AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
            HyperParameters={n: v for n, v in described["HyperParameters"].items() if not n.startswith("_")},
            RoleArn=role,
            InputDataConfig=described["InputDataConfig"],
            OutputDataConfig={"S3OutputPath": described["OutputDataConfig"]["S3OutputPath"]},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
    waiter = client.get_waiter("training_job_completed_or_stopped")
    waiter.config.delay, waiter.config.max_attempts = 2, 200
    for name, image in names.items():
        waiter.wait(TrainingJobName=name)
        job = client.describe_training_job(TrainingJobName=name)
        assert job["TrainingJobStatus"] == "Completed", (image, job.get("FailureReason"))


EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example(session: Any) -> None:
    command = [REKINDLE, "run", "--", sys.executable, str(EXAMPLES / "sdk-v2-script-mode" / "tune.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "four training jobs in" in done.stdout
    assert "the best of parent and child: digits-" in done.stdout


def test_the_notebook(session: Any) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "notebook" / "tuning.ipynb", as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(EXAMPLES / "notebook")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "notebook-" in outputs[-1]["data"]["text/plain"]
