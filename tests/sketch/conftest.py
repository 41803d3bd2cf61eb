"""What the tests of the drawn scenes need: fonts for the generator, none for the model."""

from __future__ import annotations

import os

import pytest

from ram_tagger.sketch.scenes import FONT
from ram_tagger.sketch.vocabulary import CLDR


@pytest.fixture(scope="session")
def fonts() -> None:
    """The emoji font and CLDR's names. Only drawing anew needs them, so a user may lack them."""
    missing = [str(path) for path in (FONT, CLDR / "en.xml", CLDR / "zh.xml") if not path.is_file()]
    if missing:
        message = (
            f"no {', '.join(missing)}: run apt-get install fonts-noto-color-emoji unicode-cldr-core"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
