"""What training jobs died of: failure reasons that say the same are one cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.domain.training_job import TrainingJob, TrainingJobStatus

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|[-+]?[0-9][0-9.]*(e[-+]?[0-9]+)?")

#: How an exception of Python's begins, with what we put before it, which is none itself.
_EXCEPTION = re.compile(r"(AlgorithmError: )?+[\w.]*(Error|Exception|Interrupt|Exit|Iteration)(: \S|$)")
#: How the training toolkit begins what a script said.
_QUOTED = 'ErrorMessage "'


@dataclass(frozen=True)
class Cause:
    """One cause: what was said last by the first training job that died of it, and all those that did, by number."""

    text: str
    jobs: tuple[TrainingJob, ...]


def causes(jobs: Sequence[TrainingJob]) -> list[Cause]:
    """Why training jobs failed, the most frequent cause first; of equals, the one that came first.

    Two failed alike when the last lines of their reasons differ in nothing but numbers and their own names: values of
    hyperparameters, addresses and process ids vary from job to job, and above the last line stands what led there.
    """
    groups: dict[str, list[TrainingJob]] = {}
    for job in jobs:
        if job.status is TrainingJobStatus.FAILED and job.failure_reason:
            likeness = last_words(job.failure_reason).replace(job.name, "#")
            groups.setdefault(_NUMBERS.sub("#", likeness), []).append(job)
    ranked = sorted(groups.values(), key=len, reverse=True)
    return [Cause(last_words(group[0].failure_reason or ""), tuple(group)) for group in ranked]


def last_words(reason: str) -> str:
    """The last line of a failure reason; of an exception the first, for more of its message follows. Where the training
    toolkit wrote it, the command that it ends with is left out: it holds the values and says nothing of the failure."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    end = next((at for at, line in enumerate(lines) if at and line.startswith('Command "')), None)
    start = next((at for at, line in enumerate(lines[:end]) if line.startswith(_QUOTED)), 0)
    told = lines if end is None else [line.removeprefix(_QUOTED).removesuffix('"') for line in lines[:end]]
    if told and _EXCEPTION.match(told[start]):
        return told[start]
    # The script may have said nothing: then the line above tells its exit code.
    return next((line for line in reversed(told) if line), reason)
