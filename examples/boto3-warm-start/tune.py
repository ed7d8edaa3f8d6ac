"""Warm start by boto3: a parent, a child that goes on with the same data, and one that takes what it can to more data.

rekindle run --serve -- python examples/boto3-warm-start/tune.py
(the training script needs scikit-learn, pandas and joblib where the server finds `python`)
"""

import io
import json
import os
import sys
import tarfile
import time

import boto3
from sklearn.datasets import load_digits

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
here = os.path.dirname(os.path.abspath(__file__))
s3, sagemaker, sts = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("sts")
account = sts.get_caller_identity()["Account"]
role = f"arn:aws:iam::{account}:role/rekindle"
bucket = f"sagemaker-{s3.meta.region_name}-{account}"


def upload_code():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(os.path.join(here, "code", "train.py"), "train.py")
    s3.put_object(Bucket=bucket, Key="warm-start/sourcedir.tar.gz", Body=packed.getvalue())


def upload_digits(name, count):
    features, labels = load_digits(return_X_y=True)
    rows = zip(labels[:count], features[:count], strict=True)
    table = "\n".join(",".join(f"{value:g}" for value in (label, *row)) for label, row in rows)
    s3.put_object(Bucket=bucket, Key=f"warm-start/{name}/digits.csv", Body=table.encode())
    return f"s3://{bucket}/warm-start/{name}"


def tune(name, data, jobs, **more):
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "accuracy"},
            "ParameterRanges": {
                "IntegerParameterRanges": [{"Name": "n-estimators", "MinValue": "5", "MaxValue": "60"}],
                "ContinuousParameterRanges": [{"Name": "max-features", "MinValue": "0.05", "MaxValue": "0.9"}],
            },
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {
                "criterion": "gini",
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/warm-start/sourcedir.tar.gz"),
            },
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
            },
            "RoleArn": role,
            "InputDataConfig": [
                {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}}}
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/warm-start/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
        **more,
    )
    while True:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"):
            break
        time.sleep(1)
    if "BestTrainingJob" not in job:
        sys.exit(f"{name}: {job['HyperParameterTuningJobStatus']}: {job.get('FailureReason', 'no training job has a result')}")
    show(name, "its own best", job["BestTrainingJob"])
    if "OverallBestTrainingJob" in job:
        show(name, "with its parents'", job["OverallBestTrainingJob"])


def show(name, what, best):
    value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    print(f"{name}: {what}: {value:.4f} with {best['TunedHyperParameters']}", flush=True)


def warm(kind, parent):
    return {
        "WarmStartConfig": {
            "WarmStartType": kind,
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}],
        }
    }


stamp = int(time.time())
parent = f"parent-{stamp}"
upload_code()
small, large = upload_digits("small", 600), upload_digits("large", 1797)
tune(parent, small, 6)
tune(f"identical-{stamp}", small, 3, **warm("IdenticalDataAndAlgorithm", parent))
tune(f"transfer-{stamp}", large, 3, **warm("TransferLearning", parent))
