"""Every field of every record, generated: what the store must bring back unchanged."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.note import Note
from rekindle.domain.training_job import (
    Algorithm,
    Channel,
    Checkpoints,
    FinalMetric,
    MetricPoint,
    ObjectiveStatus,
    Output,
    Owner,
    Resources,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    TrainingSpec,
    Transition,
)
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Ending,
    Hyperband,
    Limits,
    Objective,
    StrategyName,
    TuningJob,
    TuningJobSpec,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
)
from rekindle.search.space import Categorical, Continuous, Integer

# Any text that is one: also NUL, control characters, quotes, backslashes and what lies beyond the first plane.
texts = st.text(max_size=12) | st.sampled_from(["", "\x00", 'a"b\\c', "\\u0041", "naïve ☃ 𝒙", "\r\n\t", "$float", "é" * 9])
names = st.from_regex(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,20}", fullmatch=True)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(min_value=0, max_value=4e9, allow_nan=False)
counts = st.integers(0, 2**40)
flags = st.booleans()
maybe_text = st.none() | texts
string_maps = st.dictionaries(texts, texts, max_size=3)
leaves = st.none() | flags | st.integers() | st.floats(allow_nan=False) | texts
free = st.dictionaries(
    texts,
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2) | st.lists(inner, max_size=2).map(tuple)
        ),
        max_leaves=4,
    ),
    max_size=2,
)


def _tuples(items: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=most).map(tuple)


def _every(record: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Builds a record with all its fields given: a field that is added to the domain fails here until it is stored."""
    missing = {f.name for f in dataclasses.fields(record)} - set(fields)
    assert not missing, f"{record.__name__}: no strategy for {missing}"
    return st.builds(record, **fields)


owners = _every(Owner, account=st.from_regex(r"[0-9]{12}", fullmatch=True), region=st.sampled_from(["us-east-1", "eu-west-3"]))
metrics = _every(MetricDefinition, name=texts, regex=texts)
algorithms = _every(
    Algorithm,
    command=maybe_text,
    source=maybe_text,
    python=maybe_text,
    arguments_style=texts,
    image=maybe_text,
    name=maybe_text,
    input_mode=texts,
    metrics=_tuples(metrics),
    entrypoint=_tuples(texts),
    arguments=_tuples(texts),
)
channels = _every(
    Channel,
    name=texts,
    uri=texts,
    data_type=texts,
    distribution=texts,
    content_type=maybe_text,
    compression=texts,
    record_wrapper=texts,
    input_mode=texts,
    extras=free,
)
training_specs = _every(
    TrainingSpec,
    algorithm=algorithms,
    role=texts,
    channels=_tuples(channels),
    output=_every(Output, uri=maybe_text, compression=texts, kms_key=maybe_text),
    checkpoints=st.none() | _every(Checkpoints, uri=texts, local_path=texts),
    resources=_every(Resources, instance_type=texts, instance_count=counts, volume_gb=counts, gpus=counts, cpus=counts),
    max_runtime_seconds=counts,
    environment=string_maps,
    max_retries=counts,
    network_isolation=flags,
    encrypted_traffic=flags,
    spot=flags,
    extras=free,
)
_ends = st.tuples(floats, floats).map(sorted).filter(lambda e: abs(e[1] - e[0]) < 1e300)
_whole_ends = st.tuples(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53)).map(sorted)
_category = texts | st.integers() | floats | flags
ranges = (
    st.builds(lambda name, e: Continuous(name, e[0], e[1], "Linear"), texts, _ends)
    | st.builds(lambda name, s: Continuous(name, 0.1, 0.9, s), texts, st.sampled_from(["Auto", "ReverseLogarithmic"]))
    | st.builds(lambda name, e: Integer(name, e[0], e[1]), texts, _whole_ends)
    | st.builds(Categorical, texts, st.lists(_category, min_size=1, max_size=4, unique_by=lambda v: (type(v), v)).map(tuple))
)
definitions = _every(
    Definition,
    training=training_specs,
    known_names=st.booleans(),
    objective=_every(Objective, metric=texts, direction=st.sampled_from(["minimize", "maximize"])),
    ranges=st.lists(ranges, max_size=3, unique_by=lambda r: r.name).map(tuple),
    statics=string_maps,
    name=maybe_text,
)
warm_starts = _every(
    WarmStart,
    type=st.sampled_from(WarmStartType),
    parents=_tuples(names),
    relaxed=flags,
    recursive=flags,
    names=st.dictionaries(names, string_maps, max_size=2),
    ancestors=_tuples(names),
)
tuning_specs = _every(
    TuningJobSpec,
    name=names,
    strategy=st.sampled_from(StrategyName),
    limits=_every(Limits, max_jobs=st.none() | counts, max_parallel=counts, max_runtime_seconds=st.none() | counts),
    definitions=st.lists(definitions, min_size=1, max_size=2).map(tuple),
    warm_start=st.none() | warm_starts,
    early_stopping=flags,
    completion=_every(
        CompletionCriteria, target=st.none() | floats, max_not_improving=st.none() | counts, on_convergence=flags
    ),
    hyperband=st.none() | _every(Hyperband, min_resource=st.none() | counts, max_resource=st.none() | counts, sampler=texts),
    random_seed=st.none() | st.integers(0, 2**63 - 1),
    tags=string_maps,
    extras=free,
)
endings = _every(Ending, status=st.sampled_from(TuningJobStatus), reason=maybe_text, drain=flags, because=texts)
tuning_jobs = _every(
    TuningJob,
    spec=tuning_specs,
    owner=owners,
    uid=texts,
    created_at=times,
    id=st.just(0),
    status=st.sampled_from(TuningJobStatus),
    modified_at=times,
    ended_at=st.none() | times,
    failure_reason=maybe_text,
    ending=st.none() | endings,
    seq=counts,
    not_improving=counts,
    converged_at=st.none() | times,
    stop_requested=flags,
    imported=flags,
    parents=_tuples(counts),
    waiting_for=maybe_text,
    notes=st.none() | _tuples(_every(Note, kind=texts, text=texts, facts=string_maps)),
)
transitions = _every(
    Transition, status=st.sampled_from(SecondaryStatus), started_at=times, ended_at=st.none() | times, message=texts
)
training_jobs = _every(
    TrainingJob,
    name=names,
    owner=owners,
    spec=training_specs,
    hyperparameters=string_maps,
    created_at=times,
    id=st.just(0),
    tuning_job_id=st.none(),
    tuning_job_name=maybe_text,
    definition_name=maybe_text,
    number=counts,
    attempt=counts,
    attempt_seqs=st.dictionaries(counts, counts, max_size=2),
    tuned=string_maps,
    proposal=free,
    status=st.sampled_from(TrainingJobStatus),
    secondary=st.sampled_from(SecondaryStatus),
    transitions=_tuples(transitions),
    launched_seq=counts,
    finished_seq=st.none() | counts,
    modified_at=times,
    started_at=st.none() | times,
    ended_at=st.none() | times,
    failure_reason=maybe_text,
    exit_code=st.none() | st.integers(-255, 255),
    objective_metric=maybe_text,
    objective_status=st.sampled_from(ObjectiveStatus),
    objective_value=st.none() | floats,
    final_metrics=st.dictionaries(texts, _every(FinalMetric, value=floats, at=times), max_size=2),
    points_seen=counts,
    model_uri=maybe_text,
    stopped_early=flags,
    stop_requested=flags,
    tags=string_maps,
)
points = _every(MetricPoint, index=counts, metric=texts, value=floats, at=times)
