"""SageMaker's Python SDK v2 as its users call it, against a real server that runs real training jobs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

METRICS = [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}]


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
def mother(role: str, data: str) -> Any:
    """The first minute: four training jobs of a scikit-learn script, from the call to its end."""
    mother = tuner(sklearn(role), 4)
    began = time.monotonic()
    mother.fit({"train": data}, job_name="mother")
    mother.seconds = time.monotonic() - began
    return mother


def test_who_and_where_without_a_change(session: Any, role: str) -> None:
    assert session.default_bucket() == "sagemaker-us-east-1-000000000000"
    assert session.account_id() == "000000000000"
    assert role == "arn:aws:iam::000000000000:role/rekindle"


def test_the_default_bucket_s_name_comes_from_sts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import sagemaker

    monkeypatch.delenv("SAGEMAKER_USER_CONFIG_OVERRIDE")
    assert sagemaker.Session().default_bucket() == "sagemaker-us-east-1-000000000000"


def test_a_tuning_job_in_its_first_minute(mother: Any) -> None:
    described = mother.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Completed"] == 4
    assert mother.seconds < 60


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
