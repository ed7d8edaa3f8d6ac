"""SageMaker's Python SDK v3: a tuning job in script mode, and a warm-started child. Nothing in here knows of Rekindle.

rekindle run --serve -- python examples/sdk-v3-script-mode/tune.py
(python is one with `sagemaker>=3`; the training script needs scikit-learn, pandas and joblib where the server finds `python`)
"""

import os
import tempfile
import time

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.core.shapes import HyperParameterTuningJobWarmStartConfig, ParentHyperParameterTuningJob
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.tuner import HyperparameterTuner
from sklearn.datasets import load_digits

here = os.path.dirname(os.path.abspath(__file__))
session = Session()

features, labels = load_digits(return_X_y=True)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "digits.csv")
    with open(path, "w") as file:
        for label, row in zip(labels, features, strict=True):
            print(",".join(f"{value:g}" for value in (label, *row)), file=file)
    inputs = [InputData(channel_name="train", data_source=session.upload_data(path, key_prefix="digits"))]

trainer = ModelTrainer(
    training_image=image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1"),
    role=get_execution_role(),
    source_code=SourceCode(source_dir=os.path.join(here, "code"), entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"criterion": "gini"},
    base_job_name="digits",
)


def tuner(jobs, **more):
    return HyperparameterTuner(
        model_trainer=trainer,
        objective_metric_name="accuracy",
        hyperparameter_ranges={"n-estimators": IntegerParameter(5, 60), "max-features": ContinuousParameter(0.05, 0.9)},
        metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
        max_jobs=jobs,
        max_parallel_jobs=2,
        **more,
    )


name = f"digits-{int(time.time())}"
mother = tuner(4)
mother.tune(inputs=inputs, job_name=name, wait=True)
print("the best is", mother.best_training_job())
print(mother.analytics().dataframe()[["n-estimators", "max-features", "FinalObjectiveValue"]])

child = tuner(
    2,
    warm_start_config=HyperParameterTuningJobWarmStartConfig(
        parent_hyper_parameter_tuning_jobs=[ParentHyperParameterTuningJob(hyper_parameter_tuning_job_name=name)],
        warm_start_type="IdenticalDataAndAlgorithm",
    ),
)
child.tune(inputs=inputs, job_name=f"{name}-child", wait=True)
print("the best of parent and child:", child.describe().overall_best_training_job.training_job_name)
