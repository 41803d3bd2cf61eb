"""What is installed on this machine: the main dependencies, and whether torch sees a GPU."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, version

from photoindex.health.reading import Look
from photoindex.health.records import Finding, note, ok, problem

PACKAGES, FAISS, GPU = "packages", "faiss", "GPU"
_NEEDED = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "safetensors",
    "numpy",
    "pillow",
    "pi-heif",
    "watchdog",
    "filelock",
    "alembic",
    "sqlalchemy",
)
_TO_LOOK = 120.0  # seconds
_LOOKING = """
import torch
if torch.cuda.is_available():
    print(*(torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())), sep=", ")
elif torch.backends.mps.is_available():
    print("Apple GPU")
"""


def check_packages() -> Iterator[Finding]:
    """Versions of the main dependencies."""
    versions = {name: _version(name) for name in _NEEDED}
    missing = [name for name, found in versions.items() if found is None]
    if missing:
        yield problem(PACKAGES, f"missing: {', '.join(missing)}", "install photoindex again")
    told = ", ".join(f"{name} {found}" for name, found in versions.items() if found is not None)
    yield ok(PACKAGES, f"{told}, SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}")


def check_faiss(builds: dict[str, str] | None = None) -> Finding:
    """Exactly one build of FAISS. builds: name → version; None: those installed."""
    found = _faiss_builds() if builds is None else builds
    told = ", ".join(f"{name} {number}" for name, number in sorted(found.items()))
    if not found:
        return problem(FAISS, "not installed", "pip install faiss-cpu")
    if len(found) > 1:
        return problem(
            FAISS,
            f"{told}: files of one overwrite files of the other",
            f"pip uninstall --yes {' '.join(sorted(found))}, then install one of them",
        )
    return ok(FAISS, told)


def check_gpu(look: Look) -> Finding:
    """Whether torch sees a GPU: in a process of its own, as a broken torch may end it."""
    wanted = look.settings.device
    if look.quick:
        return ok(GPU, "not looked at")
    look.progress("looking for a GPU", 0, None)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _LOOKING], capture_output=True, text=True, timeout=_TO_LOOK
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return problem(GPU, f"torch cannot be asked: {error}", "install torch again")
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"]
        return problem(GPU, f"torch cannot be imported: {said[-1]}", "install torch again")
    seen = ended.stdout.strip()
    if not seen and wanted.startswith(("cuda", "mps")):
        return problem(
            GPU,
            f"torch sees none, and the settings say {wanted}",
            "install a torch for this GPU and its driver, or set device to auto",
        )
    return ok(GPU, seen) if seen else note(GPU, "torch sees none: everything runs on the CPU")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _faiss_builds() -> dict[str, str]:
    names = ((one.metadata["Name"] or "", one.version) for one in distributions())
    return {name: number for name, number in names if re.match(r"faiss[-_](cpu|gpu)", name, re.I)}
