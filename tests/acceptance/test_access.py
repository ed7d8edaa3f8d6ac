"""What a training job's own calls to AWS's services meet: those of the server that runs it, as SageMaker's role has it."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rekindle.domain.training_job import Owner
from rekindle.gateway.credentials import Credentials, KeyPair
from rekindle.serving import Address, client_environment, program_variables, proxied_environment
from rekindle.settings import load_settings
from support.ports import kept, number
from support.script_jobs import training_request, upload
from support.serving import Serving, until

#: Calls three services with nothing but what its environment says, and prints what they say.
CALLS = """\
import boto3, json, os
bucket = json.load(open("../input/config/hyperparameters.json"))["bucket"]
s3, name = boto3.client("s3"), os.environ["TRAINING_JOB_NAME"]
s3.put_object(Bucket=bucket, Key="by-the-script", Body=s3.get_object(Bucket=bucket, Key="train/rows.csv")["Body"].read())
shown = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
print(boto3.client("sts").get_caller_identity()["Account"], boto3.session.Session().region_name, shown["TrainingJobStatus"])
"""
#: Prints what it is told of AWS.
TOLD = 'import os\nprint(sorted(n for n in os.environ if n.startswith("AWS_") and "REGION" not in n))\n'
OTHER = "111122223333"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path / "home")
    yield serving
    serving.end(signal.SIGTERM)


def output(serving: Serving, name: str, bucket: str, script: str, *keys: str, **more: Any) -> str:
    """What a training job with a script prints, once it has completed."""
    s3, sagemaker = serving.client("s3", *keys), serving.client("sagemaker", *keys)
    upload(s3, bucket, script)
    request = training_request(name, bucket, **more)
    request["HyperParameters"]["bucket"] = bucket
    sagemaker.create_training_job(**request)
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "InProgress")
    shown = sagemaker.describe_training_job(TrainingJobName=name)
    assert shown["TrainingJobStatus"] == "Completed", shown["FailureReason"]
    logs, group = serving.client("logs", *keys), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    (event,) = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
    return str(event["message"])


def test_a_script_s_own_calls_are_those_of_its_job_s_account(serving: Serving) -> None:
    told = dict(line.removeprefix("export ").split("=", 1) for line in serving.run("keys", "add", OTHER).splitlines())
    keys = told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
    serving.end(signal.SIGTERM)
    serving.start()
    (ours,) = [b["Name"] for b in serving.client("s3").list_buckets()["Buckets"]]
    serving.client("s3", *keys).create_bucket(Bucket="theirs")
    assert output(serving, "ours", ours, CALLS) == "000000000000 us-east-1 InProgress"
    assert output(serving, "theirs", "theirs", CALLS, *keys) == f"{OTHER} us-east-1 InProgress"
    found = serving.client("s3", *keys).get_object(Bucket="theirs", Key="by-the-script")
    assert found["Body"].read() == b"1,2\n"


def test_a_proxy_before_us_is_not_asked_for_what_is_here(tmp_path: Path) -> None:
    with kept() as nobody:
        serving = Serving(tmp_path / "home", HTTP_PROXY=f"http://127.0.0.1:{number(nobody)}", no_proxy="lab")
        try:
            (bucket,) = [b["Name"] for b in serving.client("s3").list_buckets()["Buckets"]]
            checkpoints = {"S3Uri": f"s3://{bucket}/checkpoints"}
            assert output(serving, "behind", bucket, CALLS, CheckpointConfig=checkpoints).endswith("InProgress")
        finally:
            serving.end(signal.SIGTERM)


def test_under_isolation_and_beside_what_the_job_says_there_is_nothing_of_ours(serving: Serving) -> None:
    (bucket,) = [b["Name"] for b in serving.client("s3").list_buckets()["Buckets"]]
    assert output(serving, "isolated", bucket, TOLD, EnableNetworkIsolation=True) == "[]"
    # Their keys would be worth nothing at our address, and ours nothing at theirs.
    for name, said in {"keys": "AWS_ACCESS_KEY_ID", "endpoint": "AWS_ENDPOINT_URL_S3"}.items():
        assert output(serving, name, bucket, TOLD, Environment={said: "theirs"}) == str([said])


def test_what_the_server_inherits_for_elsewhere_stays_and_its_own_keys_are_brought_up_to_date(tmp_path: Path) -> None:
    ours, theirs = KeyPair("REKINDLEOURS", "secret"), KeyPair("REKINDLETHEIRS", "secret", OTHER)

    def told(account: str = "000000000000", **inherited: str) -> dict[str, str]:
        settings = load_settings({"REKINDLE_HOME": str(tmp_path), **inherited})
        owner = Owner(account, "eu-west-1")
        return dict(program_variables(settings, Address(port=9999), Credentials.of(ours, theirs), owner))

    here = told()
    assert json.dumps(here).count("http://127.0.0.1:9999") == len([n for n in here if n.startswith("AWS_ENDPOINT_URL")]) == 7
    assert {here["AWS_REGION"], here["AWS_DEFAULT_REGION"]} == {"eu-west-1"}
    assert told(AWS_PROFILE="lab") == told(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://169.254.170.23/v1/credentials") == {}
    assert told(AWS_ENDPOINT_URL="http://elsewhere") == told(AWS_ACCESS_KEY_ID="AKIA") == {}
    before = {"AWS_ACCESS_KEY_ID": ours.access_key, "AWS_ENDPOINT_URL": "http://127.0.0.1:8421"}
    assert told(**before) == here
    assert told(OTHER, **before)["AWS_ACCESS_KEY_ID"] == theirs.access_key
    assert told("999999999999") == {}


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "all_proxy"])
def test_nor_is_it_by_who_uses_the_variables_that_are_printed(name: str, tmp_path: Path) -> None:
    told = client_environment(load_settings({"REKINDLE_HOME": str(tmp_path), name: "http://proxy.lab"}), Address())
    assert told["NO_PROXY"] == told["no_proxy"] == "127.0.0.1,localhost,::1"
    assert not client_environment(load_settings({"REKINDLE_HOME": str(tmp_path)}), Address()).keys() & {"NO_PROXY", "no_proxy"}


def test_a_proxy_in_the_settings_of_macos_is_one_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = {"http": "http://proxy.lab", "https": "http://proxy.lab:8080", "ftp": "http://proxy.lab"}
    monkeypatch.setattr(urllib.request, "getproxies_macosx_sysconf", lambda: proxies, raising=False)
    exceptions = {"exclude_simple": False, "exceptions": ["*.local", "169.254/16"]}
    monkeypatch.setattr(urllib.request, "_get_proxy_settings", lambda: exceptions, raising=False)
    variables = {"REKINDLE_HOME": str(tmp_path)}
    told = client_environment(load_settings(variables), Address())
    assert (told["http_proxy"], told["HTTPS_PROXY"]) == ("http://proxy.lab", "http://proxy.lab:8080")
    assert told["NO_PROXY"] == told["no_proxy"] == "127.0.0.1,localhost,::1,.local,169.254/16"
    assert proxied_environment(load_settings(variables), Address())["HTTPS_PROXY"] == "http://127.0.0.1:8422"
    # A variable counts before the settings, whatever it says.
    assert "http_proxy" not in client_environment(load_settings({**variables, "https_proxy": "http://other.lab"}), Address())


def test_the_nodes_of_a_cluster_are_told_of_an_address_that_they_can_reach(tmp_path: Path) -> None:
    settings = load_settings({"REKINDLE_HOME": str(tmp_path), "REKINDLE_RAY_ADDRESS": "http://head:8265"})
    ours, owner = Credentials.of(KeyPair("REKINDLEOURS", "secret")), Owner("000000000000", "eu-west-1")
    assert program_variables(settings, Address("0.0.0.0"), ours, owner) == {}
    assert program_variables(settings, Address("lab"), ours, owner)["AWS_ENDPOINT_URL_S3"] == "http://lab:8421"
