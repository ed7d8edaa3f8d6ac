"""SageMaker's Python SDK v3 as its users call it, against a real server that runs real training jobs."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.serving import REKINDLE

METRICS = [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}]


@pytest.fixture(scope="session")
def data(digits: Path) -> str:
    from sagemaker.core.helper.session_helper import Session

    return Session().upload_data(str(digits), key_prefix="digits")


def inputs(data: str) -> list[Any]:
    from sagemaker.train.configs import InputData

    return [InputData(channel_name="train", data_source=data)]


def trainer(data: str, source: str = "code", requirements: str | None = None, **more: Any) -> Any:
    from sagemaker.core import image_uris
    from sagemaker.core.helper.session_helper import get_execution_role
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, SourceCode

    return ModelTrainer(
        training_image=image_uris.retrieve("sklearn", "us-east-1", version="1.2-1"),
        role=more.pop("role", None) or get_execution_role(),
        source_code=SourceCode(source_dir=source, entry_script="train.py", requirements=requirements),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        input_data_config=inputs(data),
        base_job_name="digits",
        **more,
    )


def tuner(data: str, jobs: int, **more: Any) -> Any:
    from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
    from sagemaker.train.tuner import HyperparameterTuner

    return HyperparameterTuner(
        model_trainer=trainer(data, hyperparameters={"criterion": "gini"}),
        objective_metric_name="accuracy",
        hyperparameter_ranges={"n-estimators": IntegerParameter(3, 12), "max-features": ContinuousParameter(0.1, 0.9)},
        metric_definitions=METRICS,
        max_jobs=jobs,
        max_parallel_jobs=min(2, jobs),
        **more,
    )


@pytest.fixture(scope="session")
def mother(data: str) -> Any:
    mother = tuner(data, 3)
    mother.tune(inputs=inputs(data), job_name="mother", wait=True)
    return mother


@pytest.mark.parametrize("given", ["arn:aws:iam::111122223333:role/service-role/Trainer-20200103T170367", "Trainer"])
def test_the_role_that_a_script_was_written_with_will_do(data: str, given: str) -> None:
    """The client looks at what the role may do before it sends anything."""
    assert trainer(data, role=given).role == (given if given.startswith("arn:") else "arn:aws:iam::000000000000:role/Trainer")


def test_tune_describe_and_best(mother: Any) -> None:
    described = mother.describe()
    assert described.hyper_parameter_tuning_job_status == "Completed"
    assert described.training_job_status_counters.completed == 3
    frame = mother.analytics().dataframe()
    best = frame[frame["FinalObjectiveValue"] == frame["FinalObjectiveValue"].max()]
    assert mother.best_training_job() in set(best["TrainingJobName"])
    mother.wait()


def test_warm_start_by_an_explicit_config(mother: Any, data: str) -> None:
    from sagemaker.core.shapes import HyperParameterTuningJobWarmStartConfig, ParentHyperParameterTuningJob

    config = HyperParameterTuningJobWarmStartConfig(
        parent_hyper_parameter_tuning_jobs=[ParentHyperParameterTuningJob(hyper_parameter_tuning_job_name="mother")],
        warm_start_type="IdenticalDataAndAlgorithm",
    )
    child = tuner(data, 1, warm_start_config=config)
    child.tune(inputs=inputs(data), job_name="child", wait=True)
    described = child.describe()
    assert described.hyper_parameter_tuning_job_status == "Completed"
    best = max((mother.describe().best_training_job, described.best_training_job), key=objective)
    assert objective(described.overall_best_training_job) == objective(best)


def objective(job: Any) -> float:
    return job.final_hyper_parameter_tuning_job_objective_metric.value


def test_stop(data: str) -> None:
    long = tuner(data, 50)
    long.tune(inputs=inputs(data), job_name="stopped", wait=False)
    long.stop_tuning_job()
    long.wait()
    assert long.describe().hyper_parameter_tuning_job_status == "Stopped"


def test_resources(mother: Any, data: str) -> None:
    from sagemaker.core.resources import HyperParameterTuningJob

    found = HyperParameterTuningJob.get("mother")
    assert found.refresh().hyper_parameter_tuning_job_status == "Completed"
    assert {job.training_job_name for job in found.get_all_training_jobs()} == set(
        mother.analytics().dataframe()["TrainingJobName"]
    )
    short = tuner(data, 1)
    short.tune(inputs=inputs(data), job_name="deleted", wait=True)
    names = [job.hyper_parameter_tuning_job_name for job in HyperParameterTuningJob.get_all()]
    assert {"mother", "deleted"} <= set(names)
    HyperParameterTuningJob.get("deleted").delete()
    assert "deleted" not in [job.hyper_parameter_tuning_job_name for job in HyperParameterTuningJob.get_all()]


def test_train_by_drivers_that_hard_code_opt_ml(data: str, capfd: pytest.CaptureFixture[str]) -> None:
    alone = trainer(data, hyperparameters={"n-estimators": 5})
    alone.train(wait=True, logs=True)
    job = alone._latest_training_job.refresh()
    assert job.training_job_status == "Completed"
    assert job.model_artifacts.s3_model_artifacts.endswith(f"/{job.training_job_name}/output/model.tar.gz")


def wheel(folder: Path) -> None:
    """The smallest package that pip installs."""
    about = "tiny-1.0.dist-info"
    parts = {
        "tiny.py": "WORD = 'installed'\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*parts, f"{about}/RECORD"))
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as archive:
        for name, text in {**parts, f"{about}/RECORD": record}.items():
            archive.writestr(name, text)


def test_what_a_job_installs_is_its_own(data: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import tiny\nopen('/opt/ml/model/said', 'w').write(tiny.__file__)\n")
    (tmp_path / "requirements.txt").write_text("./tiny-1.0-py3-none-any.whl\n")
    wheel(tmp_path)
    alone = trainer(data, source=str(tmp_path), requirements="requirements.txt")
    alone.train(wait=True, logs=False)
    job = alone._latest_training_job.refresh()
    assert job.training_job_status == "Completed", job.failure_reason
    bucket, _, key = job.model_artifacts.s3_model_artifacts.removeprefix("s3://").partition("/")
    with tarfile.open(fileobj=io.BytesIO(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())) as archive:
        assert archive.extractfile("said").read() == b"/opt/ml/packages/tiny.py"


def test_why_a_script_failed_is_told_where_the_drivers_only_say_that_it_did(data: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import a_package_that_nobody_has\n")
    alone = trainer(data, source=str(tmp_path))
    with pytest.raises(Exception, match="No module named 'a_package_that_nobody_has'") as failed:
        alone.train(wait=True, logs=False)
    assert "choose another environment in images.yaml" in str(failed.value)


def test_the_other_ways_to_search(data: str) -> None:
    from sagemaker.core.shapes import (
        HyperbandStrategyConfig,
        HyperParameterTuningJobStrategyConfig,
        TuningJobCompletionCriteria,
    )

    criteria = TuningJobCompletionCriteria(target_objective_metric_value=0.2)
    early = tuner(data, 20, strategy="Random", completion_criteria_config=criteria, random_seed=3)
    early.tune(inputs=inputs(data), job_name="criteria", wait=True)
    counters = early.describe().training_job_status_counters
    assert counters.completed + counters.stopped < 20

    bands = HyperParameterTuningJobStrategyConfig(
        hyperband_strategy_config=HyperbandStrategyConfig(min_resource=1, max_resource=3)
    )
    band = tuner(data, 3, strategy="Hyperband", strategy_config=bands)
    band.tune(inputs=inputs(data), job_name="hyperband", wait=True)
    assert band.describe().hyper_parameter_tuning_job_status == "Completed"


def test_the_built_in_xgboost(data: str) -> None:
    """An image without a script, the algorithm's own metric."""
    from sagemaker.core import image_uris
    from sagemaker.core.helper.session_helper import get_execution_role
    from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, InputData
    from sagemaker.train.tuner import HyperparameterTuner

    boosting = ModelTrainer(
        training_image=image_uris.retrieve("xgboost", "us-east-1", version="1.7-1"),
        role=get_execution_role(),
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
        hyperparameters={"objective": "multi:softmax", "num_class": 10, "num_round": 4},
        base_job_name="boosted",
    )
    tuned = HyperparameterTuner(
        model_trainer=boosting,
        objective_metric_name="validation:merror",
        objective_type="Minimize",
        hyperparameter_ranges={"eta": ContinuousParameter(0.05, 0.9), "max_depth": IntegerParameter(1, 5)},
        max_jobs=2,
        max_parallel_jobs=2,
    )
    channels = [InputData(channel_name=n, data_source=data, content_type="text/csv") for n in ("train", "validation")]
    tuned.tune(inputs=channels, job_name="boosted", wait=True)
    described = tuned.describe()
    assert described.training_job_status_counters.completed == 2
    assert 0 <= described.best_training_job.final_hyper_parameter_tuning_job_objective_metric.value < 1


def test_a_resource_that_is_stopped(data: str) -> None:
    from sagemaker.core.resources import HyperParameterTuningJob

    long = tuner(data, 50)
    long.tune(inputs=inputs(data), job_name="stopped-as-a-resource", wait=False)
    found = HyperParameterTuningJob.get("stopped-as-a-resource")
    found.stop()
    found.wait()
    assert found.refresh().hyper_parameter_tuning_job_status == "Stopped"


def test_several_trainers_fail_in_the_client(data: str) -> None:
    """Documented in docs/sdk.md; when this fails, the client was mended and the page should say so."""
    from sagemaker.train.tuner import HyperparameterTuner

    both = {"one": trainer(data), "two": trainer(data)}
    ranges = tuner(data, 1)._hyperparameter_ranges
    several = HyperparameterTuner.create(
        model_trainer_dict=both,
        objective_metric_name_dict=dict.fromkeys(both, "accuracy"),
        hyperparameter_ranges_dict=dict.fromkeys(both, ranges),
        metric_definitions_dict=dict.fromkeys(both, METRICS),
        max_jobs=2,
    )
    with pytest.raises(AttributeError):
        several.tune(inputs={name: inputs(data) for name in both}, job_name="several", wait=True)


def test_the_example(data: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "sdk-v3-script-mode" / "tune.py"
    done = subprocess.run([REKINDLE, "run", "--", sys.executable, str(example)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the best of parent and child: digits-" in done.stdout
