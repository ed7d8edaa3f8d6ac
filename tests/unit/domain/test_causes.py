"""Failure reasons that say the same are one cause."""

from __future__ import annotations

from dataclasses import replace

from rekindle.domain.causes import causes
from rekindle.domain.training_job import TrainingJob, TrainingJobStatus
from support.jobs import training_job


def failed(number: int, reason: str | None) -> TrainingJob:
    job = training_job(f"job-{number:03d}-ab{number}cd")
    return replace(job, number=number, status=TrainingJobStatus.FAILED, failure_reason=reason)


def grouped(*reasons: str | None) -> list[tuple[str, int]]:
    return [(c.text, len(c.jobs)) for c in causes([failed(n, r) for n, r in enumerate(reasons, start=1)])]


def test_what_differs_in_numbers_is_one_cause_told_in_the_words_of_the_first() -> None:
    found = grouped("ValueError: lr=0.1 at 0x7f", "ValueError: lr=-2e-05 at 0x12", "no GPU", "ValueError: lr=7 at 0x1")
    assert found == [("ValueError: lr=0.1 at 0x7f", 3), ("no GPU", 1)]


def test_what_led_there_does_not_tell_causes_apart() -> None:
    assert grouped("epoch 3\nloss nan\nKeyError: 'a'", "epoch 9\nKeyError: 'a'", "KeyError: 'b'") == [
        ("KeyError: 'a'", 2),
        ("KeyError: 'b'", 1),
    ]


def test_the_last_of_several_lines_is_told_also_behind_our_own_word() -> None:
    said = "AlgorithmError: usage: train.py [-h] [--lr LR]\ntrain.py: error: unrecognized arguments: --x {}, exit code: 2"
    told = "train.py: error: unrecognized arguments: --x 0.5, exit code: 2"
    assert grouped(said.format(0.5), said.format(0.25)) == [(told, 2)]


def test_an_exception_whose_message_goes_on_is_told_by_its_first_line() -> None:
    said = "RuntimeError: CUDA error {}\nSet CUDA_LAUNCH_BLOCKING=1\nto debug."
    ours = f"AlgorithmError: {said}, exit code: 1"
    assert grouped(ours.format(7), ours.format(8)) == [("AlgorithmError: RuntimeError: CUDA error 7", 2)]
    toolkit = f'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{said}"\nCommand "x", exit code: 1'
    assert grouped(toolkit.format(7), toolkit.format(8)) == [("RuntimeError: CUDA error 7", 2)]


def test_its_own_name_does_not_tell_a_job_apart() -> None:
    found = [failed(n, f"ClientError: /runs/job-{n:03d}-ab{n}cd: no such folder") for n in (1, 2, 3)]
    assert [len(c.jobs) for c in causes(found)] == [3]


def test_the_training_toolkits_command_is_not_the_cause() -> None:
    reason = (
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{}"\nCommand "python train.py --k {}", exit code: 1'
    )
    told = [reason.format(*said) for said in (("KeyError: 'x'", "rbf"), ("KeyError: 'x'", "poly"), ("OSError", "rbf"))]
    assert grouped(*told) == [("KeyError: 'x'", 2), ("OSError", 1)]


def test_a_script_that_said_nothing_died_of_its_exit_code() -> None:
    reason = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 3\nErrorMessage ""\nCommand "python train.py", exit code: 3'
    assert grouped(reason, reason) == [("ExitCode 3", 2)]


def test_only_failures_with_a_reason_count() -> None:
    assert causes([training_job("well"), failed(2, None), failed(3, "")]) == []


def test_their_own_names_do_not_tell_causes_apart() -> None:
    one, two = (replace(failed(n, ""), name=f"job-{n:03d}-{digest}") for n, digest in ((1, "bf07ed41"), (2, "00cafe00")))
    jobs = [replace(j, failure_reason=f"no folder /runs/{j.name}/model") for j in (one, two)]
    assert [len(c.jobs) for c in causes(jobs)] == [2]


def test_odd_reasons_have_last_words_too() -> None:
    assert grouped(" \n") == [(" \n", 1)]
    assert grouped("ValueError:\n  what it was") == [("what it was", 1)]
    assert grouped('Command "python x", exit code: 1\nwhat it was') == [("what it was", 1)]
