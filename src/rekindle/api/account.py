"""A tuning job of an account elsewhere, read by the user's own AWS profile: nothing is changed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rekindle.domain.errors import RekindleError
from rekindle.domain.texts import without_secrets

Answer = Mapping[str, Any]


def fetch(name: str, profile: str | None, region: str | None) -> tuple[Answer, list[tuple[str, Answer]]]:
    """The description of a tuning job, and each page of its training jobs with a name for errors. Profile, region and
    endpoint are found as the aws CLI finds them. Raises RekindleError, saying what the account or the way to it refused."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.Session(profile_name=profile, region_name=region).client("sagemaker")
        description = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        pages = client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=name, PaginationConfig={"PageSize": 100}
        )
        listed = [(f"page {number} of {name}", _plain(page)) for number, page in enumerate(pages, start=1)]
        # The paginator has followed every NextToken.
        return _plain(description), [(where, {**page, "NextToken": None}) for where, page in listed]
    except ClientError as error:
        found = error.response.get("Error", {})
        message = f"--from-aws {name}: {found.get('Code', 'error')}: {found.get('Message', error)}"
        raise RekindleError(message, "Is it in this region and account? See --profile and --region.") from error
    except (BotoCoreError, ValueError) as error:  # or an AWS_ENDPOINT_URL that is no URL
        raise RekindleError(
            f"--from-aws {name}: {without_secrets(str(error))}", "See --profile, --region and AWS_ENDPOINT_URL."
        ) from error


def _plain(value: Any) -> Any:
    """An answer as JSON has it: times as seconds, without what is about the exchange."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.timestamp() if hasattr(value, "timestamp") else value
