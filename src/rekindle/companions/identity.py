"""STS and IAM, as far as SageMaker's SDKs ask: who am I, what is this role, what may it do.

Without a configured role, IAM answers AccessDenied, which the SDKs take for "cannot look, go on". With one, the caller is
that role. Any other exists as well, SageMaker may assume it, and it may do everything: permissions are not this service's
business, requests may name any role, and SDK v3 asks of the one that a script was written with before it sends anything.
"""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import product
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp

from rekindle.companions.wire import Call, QueryApp, ServiceError, element, stamp

_STS: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
_IAM: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
_ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
#: How many pairs of an action and a resource are judged at once: a small question could have an endless answer.
_MOST_RESULTS: Final = 10_000
_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def sts_app(role: str | None) -> ASGIApp:
    """STS: GetCallerIdentity. ``role`` is the name of the configured role, None for none."""
    return QueryApp(_STS, {"GetCallerIdentity": partial(_get_caller_identity, role)})


def iam_app(role: str | None, created_at: float = 0.0) -> ASGIApp:
    """IAM: GetRole and SimulatePrincipalPolicy, for any role, where one is configured; all were created at ``created_at``."""
    return QueryApp(
        _IAM,
        {
            "GetRole": partial(_get_role, role, created_at),
            "SimulatePrincipalPolicy": partial(_simulate_principal_policy, role),
        },
    )


def _get_caller_identity(role: str | None, call: Call) -> str:
    return element("Arn", _caller_arn(role, call)) + element("UserId", call.access_key) + element("Account", call.owner.account)


def _caller_arn(role: str | None, call: Call) -> str:
    account = call.owner.account
    if role is None:
        return f"arn:{call.partition}:iam::{account}:user/{call.access_key}"
    return f"arn:{call.partition}:sts::{account}:assumed-role/{role}/{call.access_key}"


def _role_arn(role: str, call: Call) -> str:
    return f"arn:{call.partition}:iam::{call.owner.account}:role/{role}"


def _get_role(role: str | None, created_at: float, call: Call) -> str:
    name = call.parameters.get("RoleName", "")
    if role is None:
        raise _denied(call, "iam:GetRole", f"role {name}")
    if not _ROLE_NAME.fullmatch(name):
        allowed = "It must contain 1 to 64 alphanumeric characters and/or the following: +=,.@_-"
        raise ServiceError("ValidationError", f"The specified value for roleName is invalid: {name!r}. {allowed}")
    shown = {
        "Path": "/",
        "RoleName": name,
        "RoleId": "AROAREKINDLEROLE0000",
        "Arn": _role_arn(name, call),
        "CreateDate": stamp(created_at),
        "AssumeRolePolicyDocument": quote(json.dumps(_TRUST), safe=""),
        "MaxSessionDuration": 3600,
    }
    return "<Role>" + "".join(element(key, value) for key, value in shown.items()) + "</Role>"


def _simulate_principal_policy(role: str | None, call: Call) -> str:
    source = call.parameters.get("PolicySourceArn", "")
    if role is None:
        raise _denied(call, "iam:SimulatePrincipalPolicy", source)
    if not source.startswith("arn:"):
        raise ServiceError("InvalidInput", f"PolicySourceArn: {source!r}: not an ARN, such as {_role_arn(role, call)}")
    actions, resources = call.members("ActionNames"), call.members("ResourceArns") or ["*"]
    if len(actions) * len(resources) > _MOST_RESULTS:
        asked = f"{len(actions)} ActionNames with {len(resources)} ResourceArns"
        raise ServiceError("InvalidInput", f"{asked}: at most {_MOST_RESULTS:,} pairs are judged at once; ask by parts.")
    results = [
        "<member>" + element("EvalActionName", action) + element("EvalResourceName", resource) + _ALLOWED + "</member>"
        for action, resource in product(actions, resources)
    ]
    return f"<IsTruncated>false</IsTruncated><EvaluationResults>{''.join(results)}</EvaluationResults>"


_ALLOWED: Final = element("EvalDecision", "allowed") + "<MatchedStatements/><MissingContextValues/>"


def _denied(call: Call, action: str, resource: str) -> ServiceError:
    who = f"User: {_caller_arn(None, call)} is not authorized to perform: {action} on resource: {resource}"
    return ServiceError("AccessDenied", f"{who} because no identity-based policy allows the {action} action", 403)
