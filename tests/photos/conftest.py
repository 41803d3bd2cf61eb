"""What the tests of files on disk share."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def everybodys_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike tmp_path: to take permissions away in."""
    folder = Path(tempfile.mkdtemp(prefix="photoindex-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """Makes permissions count, also where the tests run as the superuser."""

    @contextmanager
    def ordinary() -> Iterator[None]:
        superuser = os.geteuid() == 0
        if superuser:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            if superuser:
                os.seteuid(0)

    return ordinary
