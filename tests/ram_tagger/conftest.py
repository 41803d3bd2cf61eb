"""Models to test on, made once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from standins import Parity, read_recipe, write_small_model, write_tag_lists

from ram_tagger.cli.app import app
from ram_tagger.predict import RamTagger


@pytest.fixture(scope="session")
def parity() -> Parity:
    return Parity(read_recipe())


@pytest.fixture(scope="session")
def published(parity: Parity) -> Iterator[Callable[[str, NDArray[np.float32]], Path]]:
    """Makes a folder as a user puts it together by hand: weights, tag lists and CLIP's weights."""
    with TemporaryDirectory(prefix="ram-published-") as root:
        clip = Path(root, "ViT-B-16.pt")
        torch.save(parity.weights("clip_vit_b_16"), clip)

        def make(name: str, thresholds: NDArray[np.float32]) -> Path:
            folder = Path(root, name)
            if not folder.exists():
                folder.mkdir()
                torch.save({"model": parity.weights(name)}, folder / f"{name}.pth")
                write_tag_lists(folder, thresholds)
                (folder / clip.name).hardlink_to(clip)
            return folder

        yield make


@pytest.fixture(scope="session")
def swin_b_files(published: Callable[[str, NDArray[np.float32]], Path]) -> Path:
    return published("ram_plus_swin_b_224", np.full(24, 0.5, np.float32))


@pytest.fixture(scope="session")
def swin_b_folder(swin_b_files: Path) -> Path:
    """The Swin-B stand-in as `ram-tagger convert` writes it."""
    folder = swin_b_files.parent / "swin_b_model"
    weights = swin_b_files / "ram_plus_swin_b_224.pth"
    app(["convert", str(weights), str(folder)], standalone_mode=False)
    return folder


@pytest.fixture(scope="session")
def swin_b(swin_b_folder: Path) -> RamTagger:
    return RamTagger.load(swin_b_folder, "cpu", "fp32")


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small-model")
    write_small_model(folder)
    return folder


@pytest.fixture(scope="session")
def small(small_folder: Path) -> RamTagger:
    return RamTagger.load(small_folder, "cpu", "fp32")
