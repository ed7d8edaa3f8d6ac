"""SageMaker's Python SDK v2: a tuning job in script mode, and a warm-started child. Nothing in here knows of Rekindle.

rekindle run --serve -- python examples/sdk-v2-script-mode/tune.py
(python is one with `sagemaker<3`; the training script needs scikit-learn, pandas and joblib where the server finds `python`)
"""

import os
import time

import sagemaker
from sagemaker.sklearn import SKLearn
from sagemaker.tuner import ContinuousParameter, HyperparameterTuner, IntegerParameter
from sklearn.datasets import load_digits

here = os.path.dirname(os.path.abspath(__file__))
session = sagemaker.Session()
role = sagemaker.get_execution_role()

features, labels = load_digits(return_X_y=True)
rows = [",".join(f"{value:g}" for value in (label, *row)) for label, row in zip(labels, features, strict=True)]
data = session.upload_string_as_file_body("\n".join(rows), bucket=session.default_bucket(), key="digits/digits.csv")

estimator = SKLearn(
    entry_point="train.py",
    source_dir=os.path.join(here, "code"),
    framework_version="1.2-1",
    instance_type="ml.m5.large",
    role=role,
    hyperparameters={"criterion": "gini"},
)
tuner = HyperparameterTuner(
    estimator,
    objective_metric_name="accuracy",
    hyperparameter_ranges={"n-estimators": IntegerParameter(5, 60), "max-features": ContinuousParameter(0.05, 0.9)},
    metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
    max_jobs=4,
    max_parallel_jobs=2,
)
began = time.time()
tuner.fit({"train": data}, job_name=f"digits-{int(began)}")
print(f"\nfour training jobs in {time.time() - began:.0f} s; the best is {tuner.best_training_job()}")
print(tuner.analytics().dataframe()[["n-estimators", "max-features", "FinalObjectiveValue"]])
print("its model:", tuner.best_estimator().model_data)

child = tuner.identical_dataset_and_algorithm_tuner()
child.max_jobs = 2
child.fit({"train": data}, job_name=f"digits-child-{int(began)}")
best = child.describe()["OverallBestTrainingJob"]
print("\nthe best of parent and child:", best["TrainingJobName"], best["TunedHyperParameters"])
