"""How a training job reaches AWS's services: as the user says, else with what a role gives it on SageMaker."""

from __future__ import annotations

from collections.abc import Mapping

from rekindle.engine.ports import Run
from rekindle.executors.host import Host

#: Variables that say who we are to AWS's services.
KEYS = frozenset(
    (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    )
)
_ENDPOINT = "AWS_ENDPOINT_URL"


def is_said_by(variables: Mapping[str, str]) -> bool:
    """Whether variables say by which keys, or where, AWS's services are reached."""
    return any(name in KEYS or name.startswith(_ENDPOINT) for name in variables)


def of_program(run: Run, host: Host) -> Mapping[str, str]:
    """The variables for a run's program. None under network isolation, where SageMaker gives no credentials either, and none
    of ours beside the job's own: keys and an address that do not belong together are worse than none."""
    if run.spec.network_isolation or is_said_by(run.spec.environment):
        return {}
    return host.program_variables(run.key.owner)
