"""A small training set, and sums that are added up in the same order every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_run import SmallSet, write_small_set


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> SmallSet:
    return write_small_set(tmp_path_factory.mktemp("small-set"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
