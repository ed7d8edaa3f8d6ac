"""What every job store must do. Each adapter's module inherits ``StoreSuite`` and gives it a fixture ``store``."""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tests.support import records
from tests.support.jobs import LONG, OTHER, OWNER, emissions, training_job, trial, tuning_job

from rekindle.domain.errors import InvalidValue, NameInUse, NotFound
from rekindle.domain.training_job import (
    MetricPoint,
    ObjectiveStatus,
    Owner,
    TrainingJob,
    TrainingJobStatus,
)
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus
from rekindle.engine.ports import RETRYABLE, Change, JobFilter, JobStore, Lease, LeaseLost, Page, SortKey
from rekindle.search.history import Observation

# The same test runs over each adapter, which hypothesis would rather not see: it keeps no examples to mix up.
_checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors]
generated = settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=_checks
)


def held(store: JobStore, subject: str, holder: str = "worker") -> Lease:
    (lease,) = store.claim(holder, LONG, only=subject)
    return lease


def started(store: JobStore, trials: int, name: str = "job", **fields: object) -> tuple[TuningJob, Lease, list[TrainingJob]]:
    """A tuning job with training jobs, and the lease on it."""
    job = store.create_tuning_job(tuning_job(name))
    lease = held(store, f"tuning:{job.id}")
    added = store.commit(lease, Change(job, added=tuple(trial(job, n, **fields) for n in range(1, trials + 1))))
    return job, lease, list(added)


def all_pages(fetch, page: Page, *arguments: object) -> list:
    found, guard = [], 0
    while True:
        items, after = fetch(OWNER, JobFilter(), page, *arguments)
        found += items
        assert len(items) <= page.size
        assert items or page.after is None, "an empty page after a token"
        if after is None:
            return found
        page, guard = replace(page, after=after), guard + 1
        assert guard < 1000


class StoreSuite:
    """Inherit this, and define a fixture ``store``: an empty store each time."""

    # --- creating and finding ---

    def test_a_tuning_job_is_returned_as_it_was_stored(self, store):
        job = store.create_tuning_job(tuning_job())
        assert job.id > 0
        assert job == replace(tuning_job(), id=job.id)
        assert store.tuning_job(OWNER, "job") == job
        assert store.tuning_job_by_id(job.id) == job

    def test_a_training_job_is_returned_as_it_was_stored(self, store):
        job = store.create_training_job(training_job())
        assert job == replace(training_job(), id=job.id)
        assert store.training_job(OWNER, "alone") == job
        assert store.training_job_by_id(job.id) == job

    @generated
    @given(records.tuning_jobs)
    def test_every_field_of_a_tuning_job_survives(self, store, job):
        stored = store.create_tuning_job(job)
        assert store.tuning_job_by_id(stored.id) == replace(job, id=stored.id)
        store.delete_tuning_job(stored.id)

    @generated
    @given(records.training_jobs)
    def test_every_field_of_a_training_job_survives(self, store, job):
        stored = store.create_training_job(job)
        assert store.training_job_by_id(stored.id) == replace(job, id=stored.id)
        store.delete_training_job(stored.id)

    @generated
    @given(records.training_jobs, records.training_jobs)
    def test_every_field_that_a_step_changes_survives(self, store, before, after):
        before = replace(before, status=TrainingJobStatus.IN_PROGRESS)
        stored = store.create_training_job(before)
        keep = ("id", "owner", "name", "created_at", "tuning_job_id", "number", "spec", "stop_requested", "tags")
        changed = replace(after, **{name: getattr(stored, name) for name in keep})
        store.commit(held(store, f"training:{stored.id}"), Change(changed=(changed,)))
        assert store.training_job_by_id(stored.id) == changed
        store.delete_training_job(stored.id)

    @generated
    @given(records.tuning_jobs, records.tuning_jobs)
    def test_every_field_of_a_tuning_job_that_a_step_changes_survives(self, store, before, after):
        before = replace(before, status=TuningJobStatus.IN_PROGRESS)
        stored = store.create_tuning_job(before)
        keep = ("id", "owner", "spec", "uid", "created_at", "stop_requested")
        changed = replace(after, **{name: getattr(stored, name) for name in keep})
        store.commit(held(store, f"tuning:{stored.id}"), Change(changed))
        assert store.tuning_job_by_id(stored.id) == changed
        store.delete_tuning_job(stored.id)

    @generated
    @given(st.lists(records.points, min_size=1, max_size=5, unique_by=lambda p: p.index))
    def test_every_field_of_an_emission_survives(self, store, emitted):
        job = store.create_training_job(training_job())
        lease = held(store, f"training:{job.id}")
        store.commit(lease, Change(changed=(job,), points={job.name: tuple(emitted)}))
        assert list(store.points(job.id)) == sorted(emitted, key=lambda p: p.index)
        metric = emitted[0].metric
        assert list(store.points(job.id, metric)) == [p for p in sorted(emitted, key=lambda p: p.index) if p.metric == metric]
        store.delete_training_job(job.id)

    def test_types_of_values_survive_and_not_only_their_equality(self, store):
        job = tuning_job()
        values = (1, 1.0, True, "1", 0, False)
        spec = replace(job.spec, extras={"values": values, "nested": {"$tuple": [1], "$": None}})
        stored = store.tuning_job_by_id(store.create_tuning_job(replace(job, spec=spec)).id)
        assert [type(v) for v in stored.spec.extras["values"]] == [type(v) for v in values]
        assert stored.spec.extras["nested"] == {"$tuple": [1], "$": None}

    def test_free_data_may_hold_numbers_that_are_not_finite(self, store):
        proposal = {"log_ei": -math.inf, "why": [math.nan]}
        stored = store.training_job_by_id(store.create_training_job(replace(training_job(), proposal=proposal)).id)
        assert stored.proposal["log_ei"] == -math.inf
        assert math.isnan(stored.proposal["why"][0])

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_an_objective_that_is_not_finite_is_refused(self, store, value):
        with pytest.raises(InvalidValue, match="objective_value"):
            store.create_training_job(replace(training_job(), objective_value=value))
        with pytest.raises(NotFound):
            store.training_job(OWNER, "alone")

    @pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
    def test_a_name_that_no_database_can_hold_is_refused(self, store, name):
        with pytest.raises(InvalidValue, match="name"):
            store.create_training_job(training_job(name))
        with pytest.raises(NotFound):
            store.training_job(OWNER, name)
        assert store.training_jobs(OWNER, JobFilter(name_contains=name), Page()) == ([], None)

    def test_names_are_unique_without_case(self, store):
        store.create_tuning_job(tuning_job("Job"))
        store.create_training_job(training_job("Alone"))
        with pytest.raises(NameInUse, match="JOB"):
            store.create_tuning_job(tuning_job("JOB"))
        with pytest.raises(NameInUse, match="aLONE"):
            store.create_training_job(training_job("aLONE"))
        assert store.tuning_job(OWNER, "jOb").name == "Job"
        assert store.training_job(OWNER, "ALONE").name == "Alone"
        assert len(store.claim("w", LONG)) == 2, "a refused job left work behind"

    def test_names_are_an_owners_and_a_kinds_own(self, store):
        mine = store.create_tuning_job(tuning_job("same"))
        theirs = store.create_tuning_job(tuning_job("same", owner=OTHER))
        abroad = store.create_tuning_job(tuning_job("same", owner=Owner(OWNER.account, "eu-west-3")))
        alone = store.create_training_job(training_job("same"))
        assert len({mine.id, theirs.id, abroad.id}) == 3
        assert store.tuning_job(OTHER, "same") == theirs
        assert store.training_job(OWNER, "same") == alone
        assert store.tuning_jobs(OTHER, JobFilter(), Page()) == ([theirs], None)
        assert store.tuning_jobs(abroad.owner, JobFilter(), Page()) == ([abroad], None)

    def test_what_is_not_there_is_not_found(self, store):
        questions = [
            lambda: store.tuning_job(OWNER, "none"),
            lambda: store.training_job(OWNER, "none"),
            lambda: store.tuning_job_by_id(7),
            lambda: store.training_job_by_id(7),
            lambda: store.request_stop("tuning:7"),
            lambda: store.request_stop("training:7"),
            lambda: store.request_stop("nonsense"),
            lambda: store.request_stop("tuning:nonsense"),
            lambda: store.set_tags("tuning:7", {}),
            lambda: store.delete_tuning_job(7),
            lambda: store.delete_training_job(7),
        ]
        for ask in questions:
            with pytest.raises(NotFound):
                ask()
        assert store.jobs_of(7) == ()
        assert list(store.points(7)) == []
        assert dict(store.curves(7)) == {}

    # --- stopping, tagging, deleting ---

    def test_a_stop_request_and_tags_outlive_any_commit(self, store):
        job, lease, (one,) = started(store, 1)
        store.request_stop(f"tuning:{job.id}")
        store.request_stop(f"training:{one.id}")
        store.set_tags(f"tuning:{job.id}", {"a": "1"})
        store.set_tags(f"training:{one.id}", {"b": "ü"})
        store.commit(lease, Change(replace(job, seq=9), changed=(replace(one, points_seen=3),)))
        job, one = store.tuning_job_by_id(job.id), store.training_job_by_id(one.id)
        assert (job.seq, job.stop_requested, job.spec.tags) == (9, True, {"a": "1"})
        assert (one.points_seen, one.stop_requested, one.tags) == (3, True, {"b": "ü"})

    def test_tags_are_replaced(self, store):
        job = store.create_training_job(replace(training_job(), tags={"old": "1"}))
        store.set_tags(f"training:{job.id}", {"new": "2"})
        assert store.training_job_by_id(job.id).tags == {"new": "2"}
        store.set_tags(f"training:{job.id}", {})
        assert store.training_job_by_id(job.id) == replace(job, tags={})

    def test_tags_are_replaced_if_they_are_those_expected(self, store):
        job = store.create_tuning_job(tuning_job())
        subject = f"tuning:{job.id}"
        assert store.set_tags(subject, {"a": "1", "b": "2"}, expected={})
        assert not store.set_tags(subject, {"c": "3"}, expected={})
        assert not store.set_tags(subject, {"c": "3"}, expected={"b": "2", "a": "1"}), "the order counts"
        assert store.tuning_job_by_id(job.id).spec.tags == {"a": "1", "b": "2"}
        assert store.set_tags(subject, {"c": "3"}, expected={"a": "1", "b": "2"})
        assert store.set_tags(subject, {"c": "3"}, expected={"c": "3"})
        assert store.tuning_job_by_id(job.id).spec.tags == {"c": "3"}
        with pytest.raises(NotFound):
            store.set_tags("tuning:99", {}, expected={})

    def test_of_many_threads_that_change_tags_none_undoes_another(self, store):
        subject = f"training:{store.create_training_job(training_job()).id}"

        def add(number: int) -> None:
            while True:
                known = store.training_job(OWNER, "alone").tags
                if store.set_tags(subject, {**known, str(number): "x"}, expected=known):
                    return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(8)))
        assert set(store.training_job(OWNER, "alone").tags) == {str(n) for n in range(8)}

    def test_training_jobs_are_found_by_their_names_and_the_names_alone(self, store):
        _job, _, trials = started(store, 4)
        names = [trial.name for trial in trials]
        where = JobFilter(named=(names[2].upper(), names[0], "none", "\0"))
        assert [job.name for job in store.training_jobs(OWNER, where, Page())[0]] == [names[0], names[2]]
        assert sorted(store.training_job_names(OWNER, where)) == [names[0], names[2]]
        assert sorted(store.training_job_names(OWNER, JobFilter())) == names
        assert store.training_job_names(OTHER, JobFilter()) == []
        assert store.training_jobs(OWNER, JobFilter(named=()), Page()) == ([], None)

    def test_jobs_are_found_by_their_tags(self, store):
        tags = [
            {"team": "red", "Team": "blue"},
            {"a": "b", "team": "blue"},
            {'x,"team': "red", "note": ',"team":"red"'},
            {"team": 'red","a":"b'},
            {"é\0": "%_\\"},
            {},
        ]
        for number, own in enumerate(tags):
            store.create_training_job(replace(training_job(f"job-{number}", float(number)), tags=own))

        def found(*tagged: tuple[str, str]) -> list[int]:
            jobs, _ = store.training_jobs(OWNER, JobFilter(tagged=tagged), Page())
            return [int(j.name[-1]) for j in jobs]

        assert found(("team", "red")) == [0]
        assert found(("team", "blue")) == [1]
        assert found(("Team", "blue"), ("team", "red")) == [0]
        assert found(("a", "b")) == found(("a", "b"), ("team", "blue")) == [1]
        assert found(('x,"team', "red")) == [2]
        assert found(("é\0", "%_\\")) == [4]
        assert found(("team", "re")) == found(("team", "%")) == found(("eam", "red")) == found(("", "")) == []

        tuned = tuning_job("tuned", 1.0)
        store.create_tuning_job(replace(tuned, spec=replace(tuned.spec, tags={"team": "red"})))
        assert [j.name for j in store.tuning_jobs(OWNER, JobFilter(tagged=(("team", "red"),)), Page())[0]] == ["tuned"]
        assert store.tuning_jobs(OWNER, JobFilter(tagged=(("team", "blue"),)), Page())[0] == []

    def test_deleting_a_tuning_job_keeps_its_training_jobs(self, store):
        job, lease, trials = started(store, 2)
        store.commit(lease, Change(changed=(trials[0],), points={trials[0].name: emissions(2)}))
        store.delete_tuning_job(job.id)
        with pytest.raises(NotFound):
            store.tuning_job(OWNER, "job")
        assert [store.training_job_by_id(t.id) for t in trials] == trials
        assert store.training_job(OWNER, trials[1].name).tuning_job_name == "job"
        assert len(store.points(trials[0].id)) == 2
        assert store.claim("w", LONG) == [], "the training jobs of a deleted tuning job are nobody's work"
        with pytest.raises(NotFound):
            store.delete_tuning_job(job.id)

    def test_a_deleted_name_is_free_and_its_id_is_never_used_again(self, store):
        first = store.create_tuning_job(tuning_job())
        store.delete_tuning_job(first.id)
        assert store.create_tuning_job(tuning_job()).id > first.id
        alone = store.create_training_job(training_job())
        store.delete_training_job(alone.id)
        assert store.claim("w", LONG, only=f"training:{alone.id}") == [], "what is deleted is nobody's work"
        assert store.create_training_job(training_job()).id > alone.id

    def test_deleting_a_training_job_takes_its_emissions_and_nothing_else(self, store):
        job, lease, (one, two) = started(store, 2)
        store.commit(lease, Change(job, changed=(one, two), points={t.name: emissions(2) for t in (one, two)}))
        store.delete_training_job(one.id)
        assert store.jobs_of(job.id) == (two,)
        assert list(store.points(one.id)) == []
        assert list(store.points(two.id)) == list(emissions(2))
        assert set(store.curves(job.id)) == {two.id}

    def test_deleting_the_last_training_job_with_a_spec_lets_the_spec_be_stored_again(self, store):
        for _ in range(2):
            job = store.create_training_job(training_job())
            assert store.training_job_by_id(job.id) == job
            store.delete_training_job(job.id)

    # --- lists ---

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("sort", [SortKey.NAME, SortKey.STATUS, SortKey.CREATED])
    @pytest.mark.parametrize("size", [1, 3, 100])
    def test_tuning_jobs_by_each_key_both_ways(self, store, sort, descending, size):
        made = [
            ("b", 3.0, "Stopped"),
            ("A", 3.0, "Completed"),
            ("c", 1.0, "Stopped"),
            ("D", 2.0, "Failed"),
            ("e", 2.0, "Failed"),
        ]
        jobs = [store.create_tuning_job(replace(tuning_job(n, at), status=TuningJobStatus(s))) for n, at, s in made]
        keys = {
            SortKey.NAME: lambda j: (j.name.lower(), j.id),
            SortKey.STATUS: lambda j: (j.status.value, j.id),
            SortKey.CREATED: lambda j: (j.created_at, j.id),
        }
        expected = sorted(jobs, key=keys[sort], reverse=descending)
        assert all_pages(store.tuning_jobs, Page(size, sort=sort, descending=descending)) == expected

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("sort", list(SortKey))
    @pytest.mark.parametrize("scoped", [False, True])
    def test_training_jobs_by_each_key_both_ways(self, store, sort, descending, scoped):
        job, lease, trials = started(store, 7)
        values = [0.5, None, -1.0, 1e300, 0.5, None, 2]
        ends = [TrainingJobStatus.COMPLETED, TrainingJobStatus.FAILED, TrainingJobStatus.STOPPED]
        changed = [replace(t, objective_value=v, status=ends[t.number % 3]) for t, v in zip(trials, values, strict=True)]
        store.commit(lease, Change(changed=tuple(changed)))
        if not scoped:
            changed.append(store.create_training_job(replace(training_job("zz", 3.5), objective_value=0.75)))
        keys = {
            SortKey.NAME: lambda j: (j.name.lower(), j.id),
            SortKey.STATUS: lambda j: (j.status.value, j.id),
            SortKey.CREATED: lambda j: (j.created_at, j.id),
            SortKey.OBJECTIVE: lambda j: (j.objective_value, j.id),
        }
        listed = [j for j in changed if sort is not SortKey.OBJECTIVE or j.objective_value is not None]
        expected = sorted(listed, key=keys[sort], reverse=descending)
        page = Page(3, sort=sort, descending=descending)
        assert all_pages(store.training_jobs, page, job.id if scoped else None) == expected

    def test_tuning_jobs_have_no_objective_to_sort_by(self, store):
        with pytest.raises(InvalidValue, match="sort_by"):
            store.tuning_jobs(OWNER, JobFilter(), Page(sort=SortKey.OBJECTIVE))

    def test_each_filter_and_all_together(self, store):
        done = TuningJobStatus.COMPLETED
        for number in range(1, 6):
            status = done if number % 2 else TuningJobStatus.IN_PROGRESS
            job = tuning_job(f"Job-{number}", float(number))
            store.create_tuning_job(replace(job, modified_at=10.0 + number, status=status))

        def found(**conditions: object) -> list[int]:
            jobs, _ = store.tuning_jobs(OWNER, JobFilter(**conditions), Page())
            return [int(j.name[-1]) for j in jobs]

        assert found() == [1, 2, 3, 4, 5]
        assert found(name_contains="jOB-3") == [3]
        assert found(name_contains="") == [1, 2, 3, 4, 5]
        assert found(name_contains="%") == found(name_contains="_") == found(name_contains="\\") == []
        assert found(status="Completed") == [1, 3, 5]
        assert found(status="nonsense") == []
        assert found(created_after=2.0) == [3, 4, 5]
        assert found(created_before=2.0) == [1]
        assert found(modified_after=14.0) == [5]
        assert found(modified_before=12.0) == [1]
        everything = {"status": "Completed", "created_after": 1.0, "modified_before": 15.0, "name_contains": "job"}
        assert found(**everything) == [3]

    @pytest.mark.parametrize("sort", list(SortKey))
    def test_what_is_asked_to_stop_counts_as_stopping(self, store, sort):
        job, lease, trials = started(store, 4, objective_value=1.0)
        stopping = replace(trials[1], status=TrainingJobStatus.STOPPING)
        store.commit(lease, Change(changed=(stopping, replace(trials[2], status=TrainingJobStatus.COMPLETED))))
        store.request_stop(f"training:{trials[0].id}")
        store.request_stop(f"training:{trials[2].id}")

        def numbers(status: str, scope: int | None) -> list[int]:
            jobs, _ = store.training_jobs(OWNER, JobFilter(status=status), Page(sort=sort), scope)
            return [j.number for j in jobs]

        for scope in (job.id, None):
            assert numbers("Stopping", scope) == [1, 2]
            assert numbers("Completed", scope) == [3], "a stop that came too late changes nothing"
            assert numbers("InProgress", scope) == [4]
        store.request_stop(f"tuning:{job.id}")
        if sort is not SortKey.OBJECTIVE:
            listed = {s: store.tuning_jobs(OWNER, JobFilter(status=s), Page(sort=sort))[0] for s in ("Stopping", "InProgress")}
            assert [len(jobs) for jobs in listed.values()] == [1, 0]
            assert listed["Stopping"][0].status is TuningJobStatus.IN_PROGRESS, "the record is as it was saved"
        assert store.state_counts() == {
            ("tuning", "Stopping"): 1,
            ("training", "Stopping"): 2,
            ("training", "Completed"): 1,
            ("training", "InProgress"): 1,
        }

    def test_filters_hold_across_the_pages_of_training_jobs(self, store):
        job, lease, trials = started(store, 9)
        changed = tuple(replace(t, status=TrainingJobStatus.COMPLETED) for t in trials if t.number % 2)
        store.commit(lease, Change(changed=changed))
        where, page, found = JobFilter(status="Completed"), Page(2, sort=SortKey.NAME), []
        while True:
            items, after = store.training_jobs(OWNER, where, page, job.id)
            found += items
            if after is None:
                break
            page = replace(page, after=after)
        assert found == list(changed)

    def test_a_list_of_one_tuning_job_is_its_owners_only(self, store):
        job, _, _ = started(store, 2)
        for other in (OTHER, replace(OTHER, account=OWNER.account), replace(OTHER, region=OWNER.region)):
            assert store.training_jobs(other, JobFilter(), Page(), job.id) == ([], None)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("sort", [SortKey.NAME, SortKey.CREATED])
    def test_pages_stay_whole_while_jobs_come_and_go(self, store, sort, descending):
        stay = [store.create_tuning_job(tuning_job(f"m{n:02d}", 100.0 + n)) for n in range(8)]
        go = [store.create_tuning_job(tuning_job(f"m{n:02d}x", 100.5 + n)) for n in range(8)]
        page, seen = Page(3, sort=sort, descending=descending), []
        for turn in range(100):
            items, after = store.tuning_jobs(OWNER, JobFilter(), page)
            seen += [j.id for j in items]
            if after is None:
                break
            # What the cursor stands on goes, and more comes on either side of it.
            for job in [j for j in go if j.id in seen]:
                go.remove(job)
                store.delete_tuning_job(job.id)
            store.create_tuning_job(tuning_job(f"a{turn}", 1.0 + turn))
            store.create_tuning_job(tuning_job(f"z{turn}", 500.0 + turn))
            page = replace(page, after=after)
            if turn > 20:
                page = replace(page, size=100)
        counts = Counter(seen)
        assert max(counts.values()) == 1, "a job was shown twice"
        assert all(counts[j.id] == 1 for j in stay), "a job was left out"

    def test_a_cursor_of_another_list_is_refused(self, store):
        for n in range(3):
            store.create_tuning_job(tuning_job(f"j{n}"))
            store.create_training_job(training_job(f"t{n}"))
        _, after = store.tuning_jobs(OWNER, JobFilter(), Page(1, sort=SortKey.NAME))
        for other in (Page(1, after, SortKey.CREATED), Page(1, after, SortKey.NAME, descending=True)):
            with pytest.raises(InvalidValue, match="next_token"):
                store.tuning_jobs(OWNER, JobFilter(), other)
        with pytest.raises(InvalidValue, match="next_token"):
            store.training_jobs(OWNER, JobFilter(), Page(1, after, SortKey.NAME))

    @settings(generated, max_examples=25)
    @given(st.text(max_size=60) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
    @example("")
    @example("====")
    @example("\ud800")
    def test_a_forged_cursor_is_refused(self, store, text):
        with pytest.raises(InvalidValue, match="next_token"):
            store.tuning_jobs(OWNER, JobFilter(), Page(1, text))

    def test_a_cursor_with_any_character_changed_is_refused(self, store):
        for n in range(2):
            store.create_tuning_job(tuning_job(f"j{n}"))
        _, after = store.tuning_jobs(OWNER, JobFilter(), Page(1))
        for place in range(len(after) - 1):
            forged = after[:place] + ("A" if after[place] != "A" else "B") + after[place + 1 :]
            with pytest.raises(InvalidValue, match="next_token"):
                store.tuning_jobs(OWNER, JobFilter(), Page(1, forged))
        with pytest.raises(InvalidValue, match="next_token"):
            store.tuning_jobs(OWNER, JobFilter(), Page(1, after[:-3]))

    # --- what training jobs of a tuning job did ---

    def test_training_jobs_come_by_number(self, store):
        job, lease, _ = started(store, 0)
        added = store.commit(lease, Change(added=tuple(trial(job, n) for n in (3, 1, 2))))
        assert [t.number for t in added] == [3, 1, 2], "added come back in the order given"
        assert [t.number for t in store.jobs_of(job.id)] == [1, 2, 3]
        assert {t.id: t for t in added} == {t.id: t for t in store.jobs_of(job.id)}

    def test_counters_by_status_and_objective_status(self, store):
        job, lease, trials = started(store, 5)
        other, _, _ = started(store, 2, "other")
        ends = [
            (TrainingJobStatus.COMPLETED, ObjectiveStatus.SUCCEEDED),
            (TrainingJobStatus.COMPLETED, ObjectiveStatus.SUCCEEDED),
            (TrainingJobStatus.COMPLETED, ObjectiveStatus.FAILED),
            (TrainingJobStatus.STOPPED, ObjectiveStatus.SUCCEEDED),
        ]
        changed = [replace(t, status=s, objective_status=o) for t, (s, o) in zip(trials[:4], ends, strict=True)]
        store.commit(lease, Change(changed=tuple(changed)))
        counted = store.counters([job.id, other.id, 999])
        assert counted[job.id] == {
            ("Completed", "Succeeded"): 2,
            ("Completed", "Failed"): 1,
            ("Stopped", "Succeeded"): 1,
            ("InProgress", "Pending"): 1,
        }
        assert counted[other.id] == {("InProgress", "Pending"): 2}
        assert counted[999] == {}
        assert dict(store.counters([])) == {}

    @pytest.mark.parametrize(("direction", "number"), [("minimize", 3), ("maximize", 2)])
    def test_the_best_is_an_ended_one_whose_objective_counts_and_the_first_of_equals(self, store, direction, number):
        job, lease, trials = started(store, 8)
        started(store, 2, "other")
        assert store.best_of(job.id, direction) is None
        ok, failed = ObjectiveStatus.SUCCEEDED, ObjectiveStatus.FAILED
        ends = [
            (9.0, ok, 15),
            (9.0, ok, 12),
            (-1.0, ok, 11),
            (-1.0, ok, 14),
            (99.0, ok, None),
            (-99.0, failed, 16),
            (4.0, ok, 13),
        ]
        changed = [
            replace(t, objective_value=value, objective_status=status, finished_seq=seq, status=TrainingJobStatus.COMPLETED)
            for t, (value, status, seq) in zip(trials, ends, strict=False)
        ]
        store.commit(lease, Change(changed=tuple(changed)))
        assert store.best_of(job.id, direction) == changed[number - 1]

    def test_extras_are_replaced_for_one_training_job_and_no_step_undoes_it(self, store):
        _, lease, (first, second) = started(store, 2)
        assert first.spec == second.spec
        extras = {"$": "ü", "nested": {"a": [1, None]}}
        assert store.set_extras(first.id, extras, first.spec.extras, 77.0)
        assert not store.set_extras(first.id, {}, {"other": 1}, 78.0)
        changed = replace(first.spec, extras=extras)
        assert store.training_job_by_id(first.id) == replace(first, spec=changed, modified_at=77.0)
        assert store.training_job_by_id(second.id) == second
        store.commit(lease, Change(changed=(replace(first, attempt=2),)))
        assert store.training_job_by_id(first.id).spec == changed
        with pytest.raises(NotFound):
            store.set_extras(999, {}, {}, 1.0)

    def test_who_awaits_the_next_attempt_is_counted_apart(self, store):
        job, lease, trials = started(store, 4)
        waiting = replace(trials[0], attempt=2, started_at=None)
        again = replace(trials[1], attempt=2, started_at=5.0)
        stopping = replace(trials[2], attempt=3, started_at=None, status=TrainingJobStatus.STOPPING)
        store.commit(lease, Change(changed=(waiting, again, stopping)))
        expected = {(RETRYABLE, "Pending"): 1, ("InProgress", "Pending"): 2, ("Stopping", "Pending"): 1}
        assert store.counters([job.id])[job.id] == expected
        store.request_stop(f"training:{waiting.id}")
        assert store.counters([job.id])[job.id] == expected

    def test_points_in_order_and_by_metric(self, store):
        _job, lease, (one,) = started(store, 1)
        mixed = (*emissions(2), MetricPoint(2, "acc", 0.5, 3.0), *emissions(1, start=3))
        store.commit(lease, Change(changed=(one,), points={one.name: mixed[2:]}))
        store.commit(lease, Change(changed=(one,), points={one.name: mixed[:2]}))
        assert list(store.points(one.id)) == list(mixed)
        assert list(store.points(one.id, "acc")) == [mixed[2]]
        assert list(store.points(one.id, "none")) == []

    def test_writing_the_same_emissions_again_changes_nothing(self, store):
        job, lease, (one,) = started(store, 1)
        for seq in (4, 5):
            store.commit(lease, Change(changed=(one,), points={one.name: emissions(3)}, seq=seq))
        store.commit(lease, Change(changed=(one,), points={one.name: (MetricPoint(0, "other", 9.0, 9.0),)}, seq=6))
        assert list(store.points(one.id)) == list(emissions(3))
        assert {p.seq for p in store.curves(job.id)[one.id]} == {4}

    def test_points_and_curves_are_of_the_latest_attempt(self, store):
        job, lease, (one,) = started(store, 1)
        store.commit(lease, Change(changed=(one,), points={one.name: emissions(5)}, seq=2))
        again = replace(one, attempt=2, points_seen=0)
        store.commit(lease, Change(changed=(again,)))
        assert list(store.points(one.id)) == []
        assert dict(store.curves(job.id)) == {}
        store.commit(lease, Change(changed=(again,), points={one.name: emissions(1)}, seq=3))
        assert list(store.points(one.id)) == list(emissions(1))
        assert [p.seq for p in store.curves(job.id)[one.id]] == [3]

    def test_times_of_emissions_are_those_of_the_objective_and_the_latest_attempt(self, store):
        job, lease, (one, two) = started(store, 2)
        first = (MetricPoint(0, "acc", 0.1, 1.0), *emissions(3, start=1))
        store.commit(lease, Change(changed=(one, two), points={one.name: first, two.name: emissions(2)}, seq=2))
        times = {j.id: tuple(p.at for p in store.points(j.id, j.objective_metric)) for j in (one, two)}
        assert dict(store.emission_times(job.id)) == times
        assert [len(t) for t in times.values()] == [3, 2]
        again = replace(one, attempt=2, points_seen=0)
        store.commit(lease, Change(changed=(again,)))
        assert dict(store.emission_times(job.id)) == {two.id: times[two.id]}
        assert dict(store.emission_times(job.id + 1)) == {}

    def test_curves_of_all_attempts_are_kept_apart(self, store):
        job, lease, (one, two) = started(store, 2)
        first = (MetricPoint(0, "acc", 0.1, 1.0), *emissions(2, start=1))
        store.commit(lease, Change(changed=(one,), points={one.name: first}, events={one.name: (2, 3, 4)}))
        again = replace(one, attempt=2, attempt_seqs={2: 5}, points_seen=0)
        store.commit(lease, Change(changed=(again, two), points={one.name: emissions(1), two.name: emissions(1)}, seq=6))
        found = {key: [(p.seq, p.observation.step) for p in curve] for key, curve in store.curves_of_attempts(job.id).items()}
        assert found == {(one.id, 1): [(3, 1), (4, 2)], (one.id, 2): [(6, 1)], (two.id, 1): [(6, 1)]}
        assert {key: curve for key, curve in store.curves_of_attempts(job.id).items() if key != (one.id, 1)} == {
            (one.id, 2): store.curves(job.id)[one.id],
            (two.id, 1): store.curves(job.id)[two.id],
        }
        assert dict(store.curves_of_attempts(job.id + 1)) == {}

    def test_curves_hold_the_objective_alone_with_steps_from_1_and_the_event_of_each(self, store):
        job, lease, (one, _two) = started(store, 2)
        first = (MetricPoint(0, "acc", 0.1, 1.0), MetricPoint(1, "loss", 5.0, 1.0), MetricPoint(2, "loss", 4.0, 2.0))
        store.commit(lease, Change(changed=(one,), points={one.name: first}, seq=7))
        store.commit(lease, Change(changed=(one,), points={one.name: (MetricPoint(3, "loss", 3.0, 3.0),)}, seq=9))
        curves = store.curves(job.id)
        assert set(curves) == {one.id}
        assert [(p.seq, p.observation) for p in curves[one.id]] == [
            (7, Observation(1, 5.0)),
            (7, Observation(2, 4.0)),
            (9, Observation(3, 3.0)),
        ]

    def test_each_point_may_have_an_event_of_its_own(self, store):
        job, lease, (one,) = started(store, 1)
        store.commit(lease, Change(changed=(one,), points={one.name: emissions(3)}, seq=1, events={one.name: (4, 7, 9)}))
        assert [p.seq for p in store.curves(job.id)[one.id]] == [4, 7, 9]
        with pytest.raises(ValueError, match="zip"):
            store.commit(lease, Change(changed=(one,), points={one.name: emissions(2, start=3)}, events={one.name: (10,)}))

    def test_reading_on_from_an_event_gives_what_is_later(self, store):
        job, lease, (one, two, three) = started(store, 3)
        ended = replace(one, status=TrainingJobStatus.COMPLETED, finished_seq=5)
        late = replace(two, status=TrainingJobStatus.COMPLETED, finished_seq=6)
        points = {t.name: emissions(3) for t in (one, two, three)}
        events = {one.name: (1, 2, 3), two.name: (4, 5, 6), three.name: (2, 6, 7)}
        store.commit(lease, Change(changed=(ended, late, three), points=points, events=events))
        assert [t.number for t in store.jobs_of(job.id, 4)] == [1, 2, 3]
        assert [t.number for t in store.jobs_of(job.id, 5)] == [2, 3]
        assert store.jobs_of(job.id, -1) == store.jobs_of(job.id)
        later = {job_id: [(p.seq, p.observation.step) for p in curve] for job_id, curve in store.curves(job.id, 5).items()}
        assert later == {two.id: [(6, 1)], three.id: [(6, 1), (7, 2)]}
        assert dict(store.curves(job.id, 7)) == {}

    def test_points_of_a_training_job_that_is_added_in_the_same_step(self, store):
        job, lease, _ = started(store, 0)
        (one,) = store.commit(lease, Change(added=(trial(job, 1),), points={trial(job, 1).name: emissions(1)}))
        assert list(store.points(one.id)) == list(emissions(1))

    # --- leases ---

    def test_claims_take_unfinished_work_oldest_first(self, store):
        young = store.create_tuning_job(tuning_job("young", 30.0))
        old = store.create_tuning_job(tuning_job("old", 10.0))
        alone = store.create_training_job(training_job("alone", 20.0))
        store.create_tuning_job(replace(tuning_job("done", 1.0), status=TuningJobStatus.COMPLETED))
        store.create_training_job(replace(training_job("ended", 1.0), status=TrainingJobStatus.STOPPED))
        first = store.claim("w", LONG, limit=2)
        assert [lease.subject for lease in first] == [f"tuning:{old.id}", f"training:{alone.id}"]
        assert all(lease.holder == "w" and lease.token > 0 for lease in first)
        assert [lease.subject for lease in store.claim("v", LONG)] == [f"tuning:{young.id}"]
        assert store.claim("w", LONG) == []

    def test_work_that_is_stopping_is_claimed_and_training_jobs_of_a_tuning_job_are_not(self, store):
        job, lease, trials = started(store, 2)
        store.commit(lease, Change(replace(job, status=TuningJobStatus.STOPPING)))
        store.release(lease)
        assert [c.subject for c in store.claim("v", LONG)] == [f"tuning:{job.id}"]
        assert store.claim("v", LONG, only=f"training:{trials[0].id}") == []

    def test_a_claim_may_name_one_subject(self, store):
        store.create_tuning_job(tuning_job("first", 1.0))
        second = store.create_tuning_job(tuning_job("second", 2.0))
        (lease,) = store.claim("w", LONG, only=f"tuning:{second.id}")
        assert lease.subject == f"tuning:{second.id}"
        assert store.claim("v", LONG, only=f"tuning:{second.id}") == []
        assert store.claim("v", LONG, only="tuning:999") == []

    def test_a_claim_may_leave_to_others_for_a_while_what_is_new_or_was_given_back(self, store):
        now = time.time()
        long_free = store.create_tuning_job(tuning_job("long-free", now - 2 * LONG))
        by_a_clock_ahead = store.create_tuning_job(tuning_job("by-a-clock-ahead", now + LONG))
        new = store.create_tuning_job(tuning_job("new", now))
        taken = store.claim("v@one", LONG, free_for=LONG / 2)
        assert [c.subject for c in taken] == [f"tuning:{j.id}" for j in (long_free, by_a_clock_ahead)]
        store.release(taken[0])
        store.release(taken[1], has_runs=True)
        (left_with_runs,) = store.claim("w@one", LONG, free_for=LONG / 2)
        assert left_with_runs.subject == taken[1].subject
        assert [c.subject for c in store.claim("w", LONG)] == [taken[0].subject, f"tuning:{new.id}"]

    def test_a_claim_may_leave_some_work_to_others_altogether(self, store):
        first, second = (store.create_tuning_job(tuning_job(f"j{n}", n)) for n in range(2))
        without = (f"tuning:{first.id}", "tuning:999")
        assert [c.subject for c in store.claim("w", LONG, limit=1, without=without)] == [f"tuning:{second.id}"]
        assert store.claim("w", LONG, without=without) == []

    def test_an_expired_lease_goes_to_another_with_a_higher_token(self, store):
        job, lease, _ = started(store, 0)
        assert store.claim("v", LONG) == []
        store.renew([lease], 0.0)
        (taken,) = store.claim("v", LONG)
        assert (taken.holder, taken.subject) == ("v", lease.subject)
        assert taken.token > lease.token
        with pytest.raises(LeaseLost):
            store.commit(lease, Change(replace(job, seq=5)))
        store.commit(taken, Change(replace(job, seq=6)))
        assert store.tuning_job_by_id(job.id).seq == 6

    def test_an_expired_lease_that_nobody_took_is_still_good(self, store):
        job, lease, _ = started(store, 0)
        store.renew([lease], 0.0)
        store.commit(lease, Change(replace(job, seq=5)))
        assert store.renew([lease], LONG) == [lease]
        assert store.claim("v", LONG) == []

    def test_renewal_keeps_ours_and_drops_the_lost(self, store):
        jobs = [store.create_tuning_job(tuning_job(f"j{n}", n)) for n in range(3)]
        mine = store.claim("w", 0.0, limit=2)
        store.delete_tuning_job(jobs[0].id)
        assert store.renew(mine, LONG) == [mine[1]]
        assert [c.subject for c in store.claim("v", LONG)] == [f"tuning:{jobs[2].id}"]
        assert store.renew([], LONG) == []

    def test_a_released_lease_is_free_at_once_and_no_good_any_more(self, store):
        job, lease, _ = started(store, 0)
        store.release(lease)
        with pytest.raises(LeaseLost):
            store.commit(lease, Change(job))
        assert store.renew([lease], LONG) == []
        (taken,) = store.claim("v", LONG)
        store.release(lease)
        store.commit(taken, Change(job))
        assert taken.token > lease.token

    def test_holders_are_those_with_leases_and_eviction_frees_all_of_one(self, store):
        for n in range(3):
            store.create_tuning_job(tuning_job(f"j{n}", n))
        assert list(store.holders()) == []
        dead = store.claim("dead", LONG, limit=2)
        store.claim("live", LONG)
        assert sorted(store.holders()) == ["dead", "live"]
        store.evict("dead")
        assert list(store.holders()) == ["live"]
        with pytest.raises(LeaseLost):
            store.commit(dead[0], Change())
        assert {c.subject for c in store.claim("live", LONG)} == {c.subject for c in dead}

    def test_work_whose_runs_may_be_alive_in_a_home_is_for_holders_of_that_home(self, store):
        job = store.create_tuning_job(tuning_job())
        store.create_tuning_job(tuning_job("other", 99.0))
        mine, idle = store.claim("a@one", LONG)
        store.release(mine, has_runs=True)
        store.release(idle)
        assert list(store.holders()) == []
        assert store.elsewhere("b@two") == {"one": 1}
        assert store.elsewhere("b@one") == {}
        assert store.elsewhere("b@two", mine.subject) == {"one": 1}
        assert store.elsewhere("b@two", idle.subject) == {}
        assert [c.subject for c in store.claim("b@two", LONG)] == [idle.subject]
        assert [c.subject for c in store.claim("c@one", LONG)] == [f"tuning:{job.id}"]

    def test_who_left_without_a_word_may_have_left_runs(self, store):
        store.create_tuning_job(tuning_job())
        (expired,) = store.claim("a@one", 0.0)
        assert store.claim("b@two", LONG) == []
        assert store.claim("b", LONG, only=expired.subject) == []
        store.evict("a@one")
        assert store.claim("b@two", LONG) == []
        (taken,) = store.claim("c@one", LONG)
        assert taken.token > expired.token

    def test_what_a_dead_holder_had_is_free_at_once_for_its_home(self, store):
        store.create_tuning_job(tuning_job())
        store.claim("a@one", LONG)
        assert store.claim("c@one", LONG) == []
        store.evict("a@one")
        assert store.claim("b@two", LONG) == []
        assert len(store.claim("c@one", LONG)) == 1

    def test_what_waits_for_a_home_that_is_gone_is_free_and_what_a_holder_has_is_not(self, store):
        store.create_tuning_job(tuning_job())
        (left,) = store.claim("a@one", LONG)
        assert store.elsewhere("b@two") == {}
        store.free_home("one")
        assert store.claim("b@two", LONG) == []
        store.renew([left], 0.0)
        assert store.elsewhere("b@two") == {"one": 1}
        store.free_home("two")
        assert store.claim("b@two", LONG) == []
        store.free_home("one")
        assert [c.subject for c in store.claim("b@two", LONG)] == [left.subject]

    def test_a_lease_says_whether_anything_may_be_alive_of_its_work(self, store):
        store.create_tuning_job(tuning_job())

        def claimed(holder: str) -> Lease:
            (lease,) = store.claim(holder, LONG)
            return lease

        lease = claimed("a@one")
        assert lease.from_nobody
        store.release(lease)
        lease = claimed("b@two")
        assert lease.from_nobody, "given back without runs"
        store.release(lease, has_runs=True)
        lease = claimed("c@two")
        assert not lease.from_nobody
        store.evict(lease.holder)
        lease = claimed("d@two")
        assert not lease.from_nobody
        store.renew([lease], 0.0)
        assert not claimed("e@two").from_nobody

    def test_no_subject_goes_to_two_of_many_threads(self, store):
        for n in range(30):
            store.create_tuning_job(tuning_job(f"j{n}", n))
        barrier = Barrier(8)

        def greedy(number: int) -> list[Lease]:
            barrier.wait()
            found: list[Lease] = []
            while batch := store.claim(f"w{number}", LONG, limit=3):
                found += batch
            return found

        with ThreadPoolExecutor(8) as pool:
            taken = [lease.subject for leases in pool.map(greedy, range(8)) for lease in leases]
        assert len(taken) == len(set(taken)) == 30

    # --- commits ---

    def test_a_refused_commit_writes_nothing(self, store):
        job, lease, (one,) = started(store, 1)
        store.release(lease)
        stale = Change(
            replace(job, seq=5), added=(trial(job, 2),), changed=(replace(one, points_seen=1),), points={one.name: emissions(1)}
        )
        with pytest.raises(LeaseLost):
            store.commit(lease, stale)
        assert store.tuning_job_by_id(job.id) == job
        assert store.jobs_of(job.id) == (one,)
        assert list(store.points(one.id)) == []

    def test_a_commit_that_fails_on_a_name_writes_nothing(self, store):
        job, lease, (one,) = started(store, 1)
        store.create_training_job(training_job("taken"))
        change = Change(
            replace(job, seq=5),
            added=(trial(job, 2), trial(job, 3, name="TAKEN")),
            changed=(replace(one, points_seen=1),),
            points={one.name: emissions(1)},
        )
        with pytest.raises(NameInUse):
            store.commit(lease, change)
        assert store.tuning_job_by_id(job.id) == job
        assert store.jobs_of(job.id) == (one,)
        assert list(store.points(one.id)) == []

    def test_a_deleted_job_makes_a_commit_lose_its_lease(self, store):
        job, lease, (one,) = started(store, 1)
        store.delete_tuning_job(job.id)
        with pytest.raises(LeaseLost):
            store.commit(lease, Change(replace(job, seq=5), changed=(replace(one, points_seen=8),)))
        assert store.training_job_by_id(one.id) == one
        alone = store.create_training_job(training_job())
        lease = held(store, f"training:{alone.id}")
        store.delete_training_job(alone.id)
        with pytest.raises(LeaseLost):
            store.commit(lease, Change(changed=(alone,), points={alone.name: emissions(1)}))

    def test_a_deleted_training_job_within_a_step_makes_it_void(self, store):
        job, lease, (one, two) = started(store, 2)
        store.delete_training_job(one.id)
        with pytest.raises(LeaseLost):
            store.commit(lease, Change(replace(job, seq=5), changed=(replace(two, points_seen=8), one)))
        assert store.jobs_of(job.id) == (two,)
        store.commit(lease, Change(replace(job, seq=5)))

    def test_finished_work_is_not_claimed_again(self, store):
        job, lease, _ = started(store, 0)
        alone = store.create_training_job(training_job())
        other = held(store, f"training:{alone.id}")
        store.commit(lease, Change(replace(job, status=TuningJobStatus.COMPLETED)))
        store.commit(other, Change(changed=(replace(alone, status=TrainingJobStatus.FAILED),)))
        store.release(lease)
        assert store.claim("v", LONG) == []
        assert store.claim("v", LONG, only=lease.subject) == []

    def test_nobody_is_waited_for_elsewhere_once_the_work_is_finished(self, store):
        job = store.create_tuning_job(tuning_job())
        (lease,) = store.claim("a@one", LONG)
        store.commit(lease, Change(replace(job, status=TuningJobStatus.COMPLETED)))
        store.evict("a@one")
        assert store.elsewhere("b@two") == {}

    def test_the_end_of_one_training_job_does_not_finish_its_tuning_job(self, store):
        _job, lease, (one,) = started(store, 1)
        store.commit(lease, Change(changed=(replace(one, status=TrainingJobStatus.COMPLETED),)))
        store.release(lease)
        assert len(store.claim("v", LONG)) == 1

    def test_an_empty_change_only_checks_the_lease(self, store):
        _job, lease, _ = started(store, 0)
        assert store.commit(lease, Change()) == ()
        store.release(lease)
        with pytest.raises(LeaseLost):
            store.commit(lease, Change())

    def test_many_threads_commit_under_leases_of_their_own(self, store):
        jobs = [store.create_tuning_job(tuning_job(f"j{n}", n)) for n in range(6)]

        def work(job: TuningJob) -> None:
            lease = held(store, f"tuning:{job.id}", f"w{job.id}")
            for number in range(1, 11):
                store.commit(lease, Change(replace(job, seq=number), added=(trial(job, number),)))
                store.jobs_of(job.id)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, jobs))
        for job in jobs:
            assert [t.number for t in store.jobs_of(job.id)] == list(range(1, 11))
            assert store.tuning_job_by_id(job.id).seq == 10

    def test_of_two_threads_with_one_lease_each_commit_is_whole(self, store):
        job, lease, _ = started(store, 0)
        barrier = Barrier(4)

        def step(number: int) -> None:
            barrier.wait()
            for turn in range(5):
                name = f"n{number}-{turn}"
                added = tuple(trial(job, 100 * number + 10 * turn + k, name=f"{name}-{k}") for k in range(2))
                store.commit(lease, Change(replace(job, seq=len(added)), added=added))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(step, range(1, 5)))
        assert len(store.jobs_of(job.id)) == 40
