"""What is installed from the built package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_migrations_model_and_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for script in (ROOT / "migrations").rglob("*.py"):
        shipped = script.relative_to(ROOT / "migrations").as_posix()
        assert f"photoindex/catalog/migrations/{shipped}" in names
    assert "ram_tagger/sketch/model/model.safetensors" in names
    assert "ram_tagger/training/recipes/sketch.toml" in names
    assert "photoindex/demo/concepts.json" in names
    assert sum(name.startswith("photoindex/demo/pictures/") for name in names) >= 40
    assert not any(name.startswith("tests/") for name in names)
