"""What the tests of files on disk share."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from following import Follow, Follower

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


@pytest.fixture
def follow() -> Iterator[Follow]:
    followers: list[Follower] = []

    def begin(*folders: Path, excludes: tuple[str, ...] = (), polling: bool = False) -> Follower:
        followers.append(Follower(list(folders), list(excludes), polling))
        return followers[-1]

    yield begin
    for follower in followers:
        follower.close()


@pytest.fixture(params=["events", "polling"])
def polling(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "polling")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"
