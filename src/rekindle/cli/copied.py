"""What each training job has a copy of: how much of the source folder, and a word where that is a lot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekindle.domain.tuning_job import TuningJobSpec
    from rekindle.engine.ports import Executor, SourceSize

#: A copy of so many bytes or files takes seconds before each training job, and room on the disk after it.
MANY_BYTES, MANY_FILES = 200_000_000, 5_000


def copy_text(files: int, size: int, whole: bool) -> str:
    """``3 files, 1.2 kB``; not ``whole``: so much at least."""
    from rekindle.cli.printing import data_size

    least = "" if whole else "more than "
    return f"{least}{files:,} file{'' if files == 1 else 's'}, {least}{data_size(size)}"


def copies_of(executor: Executor, spec: TuningJobSpec) -> list[SourceSize | None]:
    """What a training job of each definition would copy."""
    return [executor.source_size(d.training) for d in spec.definitions]


def large_copies(spec: TuningJobSpec, sizes: Sequence[SourceSize | None]) -> list[str]:
    """For each definition whose source folder is large, a sentence with the ways out."""
    sources = (str(d.training.algorithm.source) for d in spec.definitions)
    found = [(s, size) for s, size in zip(sources, sizes, strict=True) if size is not None and _is_large(size)]
    return [_told(source, size, spec.limits.max_jobs) for source, size in found]


def _is_large(size: SourceSize) -> bool:
    return not size.whole or size.bytes >= MANY_BYTES or size.files >= MANY_FILES


def _told(source: str, size: SourceSize, jobs: int | None) -> str:
    from rekindle.cli.printing import data_size

    most = f", {data_size(size.largest_bytes)} of it in {size.largest!r}" if size.largest_bytes > MANY_BYTES / 2 else ""
    in_all = f" ({data_size(size.bytes * jobs)} for {jobs} of them)" if jobs is not None and jobs > 1 and size.whole else ""
    return (
        f"source: {source!r}: {copy_text(size.files, size.bytes, size.whole)}{most}, are copied for each training job before it"
        f" starts, and kept{in_all}. Name a smaller folder as `source`; data is better given as `channels`, which are links,"
        " not copies."
    )
