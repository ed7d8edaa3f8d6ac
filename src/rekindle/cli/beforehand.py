"""What is worth knowing before training jobs start: large copies of the source, hyperparameters that share a variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import TuningJobSpec
    from rekindle.engine.ports import Executor, SourceSize

#: A copy of so many bytes or files takes seconds before each training job, and room on the disk after it.
MANY_BYTES, MANY_FILES = 200_000_000, 5_000


def notes_before(spec: TuningJobSpec, copied: SourceSize | None) -> list[str]:
    """Sentences with the ways out; ``copied`` is the size of the job's source folder."""
    large = [] if copied is None or not _is_large(copied) else [_large_copy(spec, copied)]
    return [*large, *_shared_variables(spec)]


def copy_text(files: int, size: int, whole: bool) -> str:
    """``3 files, 1.2 kB``; not ``whole``: so much at least."""
    from rekindle.cli.printing import counted, data_size

    least = "" if whole else "more than "
    return f"{least}{counted(files, 'file')}, {least}{data_size(size)}"


def copy_of(executor: Executor, spec: TuningJobSpec) -> SourceSize | None:
    """What each training job copies. Only a job file names a source folder, and it has one definition."""
    return executor.source_size(spec.definition.training)


def _is_large(size: SourceSize) -> bool:
    return not size.whole or size.bytes >= MANY_BYTES or size.files >= MANY_FILES


def _large_copy(spec: TuningJobSpec, size: SourceSize) -> str:
    from rekindle.cli.printing import data_size

    source, jobs = str(spec.definition.training.algorithm.source), spec.limits.max_jobs
    most = f", {data_size(size.largest_bytes)} of it in {size.largest!r}" if size.largest_bytes > MANY_BYTES / 2 else ""
    in_all = f" ({data_size(size.bytes * jobs)} for {jobs} of them)" if jobs is not None and jobs > 1 and size.whole else ""
    return (
        f"source: {source!r}: {copy_text(size.files, size.bytes, size.whole)}{most}, are copied for each training job before it"
        f" starts, and kept{in_all}. Name a smaller folder as `source`; data is better given as `channels`, which are links,"
        " not copies."
    )


def _shared_variables(spec: TuningJobSpec) -> list[str]:
    """For each variable that several hyperparameters of a definition would have, a sentence with the ways out."""
    found: dict[str, None] = {}
    for definition in spec.definitions:
        names: dict[str, list[str]] = {}
        for name in (*(p.name for p in definition.ranges), *definition.statics):
            names.setdefault(name.upper(), []).append(name)
        found |= {_shared_variable(variable, sharing): None for variable, sharing in names.items() if len(sharing) > 1}
    return list(found)


def _shared_variable(variable: str, names: list[str]) -> str:
    return (
        f"hyperparameters: {' and '.join(map(repr, names))} share the variable SM_HP_{variable}, which holds one of them only."
        " Let their names differ by more than case, or read their values from the command line or SM_HPS."
    )
