"""Built-in XGBoost by boto3, as on SageMaker: its own image, no script, no metric definitions; then the best model is used.

rekindle run --serve -- python examples/xgboost-tabular/tune.py
(needs xgboost where `rekindle` is installed, and scikit-learn and xgboost here)
"""

import io
import sys
import tarfile
import tempfile
import time

import boto3
import numpy as np
import xgboost
from data import tables
from sklearn.metrics import roc_auc_score

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 8
s3, sagemaker, sts = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("sts")
account = sts.get_caller_identity()["Account"]
bucket = f"sagemaker-{s3.meta.region_name}-{account}"
name = f"cancer-{int(time.time())}"


def upload(part, table):
    text = io.StringIO()
    np.savetxt(text, table, delimiter=",", fmt="%g")
    s3.put_object(Bucket=bucket, Key=f"{name}/{part}/table.csv", Body=text.getvalue().encode())
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/{part}", "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": part, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}


def model_of(uri):
    key = uri.removeprefix(f"s3://{bucket}/")
    packed = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
        return xgboost.Booster(model_file=f"{folder}/xgboost-model")


data = tables()
channels = [upload(part, table) for part, table in data.items()]
sagemaker.create_hyper_parameter_tuning_job(
    HyperParameterTuningJobName=name,
    HyperParameterTuningJobConfig={
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:auc"},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "eta", "MinValue": "0.01", "MaxValue": "0.5", "ScalingType": "Logarithmic"},
                {"Name": "subsample", "MinValue": "0.4", "MaxValue": "1"},
            ],
            "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "8"}],
        },
    },
    TrainingJobDefinition={
        "StaticHyperParameters": {"num_round": "60", "objective": "binary:logistic", "early_stopping_rounds": "10"},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": f"arn:aws:iam::{account}:role/rekindle",
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{name}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    },
)
while True:
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    if job["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"):
        break
    time.sleep(1)
if "BestTrainingJob" not in job:
    sys.exit(f"{name}: {job['HyperParameterTuningJobStatus']}: {job.get('FailureReason', 'no training job has a result')}")
best = job["BestTrainingJob"]
value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
print(f"{name}: {job['TrainingJobStatusCounters']['Completed']} training jobs, best validation:auc {value:.5f}")
print(f"with {best['TunedHyperParameters']}")

trained = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
model = model_of(trained["ModelArtifacts"]["S3ModelArtifacts"])
held = data["validation"]
said = model.predict(xgboost.DMatrix(held[:, 1:]))
print(f"the best model, loaded here: auc {roc_auc_score(held[:, 0], said):.5f}")
