"""A folder of several hundred small pictures, and what an undisturbed run makes of it."""

from __future__ import annotations

import pytest
from disturbed import Place, Undisturbed, draw, look


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    top = tmp_path_factory.mktemp("undisturbed")
    place = Place(top, draw(top / "pictures"))
    place.run("index", str(place.pictures))
    place.run("add-concept", str(place.concepts()))
    return Undisturbed(place.pictures, look(place.library))
