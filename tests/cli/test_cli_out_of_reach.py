"""A file that may not be read is named with the reason, and read as soon as it may be."""

from __future__ import annotations

import shutil
from pathlib import Path

from typed import Command


def test_a_file_without_permission(empty: Command, pictures: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pictures / "winter", tmp_path / "photos"))
    locked = next(folder.iterdir())
    mode = locked.stat().st_mode
    locked.chmod(0)
    index = ("index", folder, "--model", "sketch")
    assert "1 not read yet" in empty.heeding_permissions(*index).err
    assert "permission denied" in empty("failures").out
    locked.chmod(mode)
    assert "1 photo analysed" in empty.heeding_permissions(*index).err
    assert "permission denied" not in empty("failures").out
