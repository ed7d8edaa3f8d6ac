"""What may be secret in a text is hidden, and nothing else."""

from __future__ import annotations

import pytest

from rekindle.domain.texts import without_secrets


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql+psycopg://me:s3cret@db:5432/optuna", "postgresql+psycopg://me:***@db:5432/optuna"),
        ("postgresql://me:a/b+c==@db/optuna", "postgresql://me:***@db/optuna"),
        ("https://t0ken@mlflow.lab", "https://***@mlflow.lab"),
        ("request to https://me:p@ss:word@mlflow.lab/api?x=1 failed", "request to https://me:***@mlflow.lab/api?x=1 failed"),
        ("postgresql:///db?user=me&password=s3cret&sslmode=require", "postgresql:///db?user=me&password=***&sslmode=require"),
        ("postgresql://me@corp:s3cret@db/optuna", "postgresql://me@corp:***@db/optuna"),
        ("postgresql:///db?sslpassword=s3cret", "postgresql:///db?sslpassword=***"),
        ("sqlite:////home/a@b/study.db", "sqlite:////home/a@b/study.db"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("http://[::1]:5000 and me@lab", "http://[::1]:5000 and me@lab"),
        ("no URL: a@b", "no URL: a@b"),
    ],
)
def test_passwords_and_tokens_in_urls_are_hidden(text: str, told: str) -> None:
    assert without_secrets(text) == told
