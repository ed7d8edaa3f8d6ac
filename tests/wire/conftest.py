"""What the wire tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.wire import Wire, wire


@pytest.fixture(scope="module")
def sagemaker() -> Iterator[Wire]:
    """The SageMaker service with a simulated executor; one for each module of tests."""
    with wire() as found:
        yield found
