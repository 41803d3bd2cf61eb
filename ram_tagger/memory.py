"""How many pictures a device has the memory to look at together."""

from __future__ import annotations

from pathlib import Path

import torch

LARGEST = {"cpu": 4, "cuda": 32}
"""Pictures beyond which a batch gets no faster: on a processor, weights are read for all of them
once, and more activations no longer fit its cache."""
PICTURE = {"cpu": 128 << 20, "cuda": 192 << 20}
"""Bytes that each picture of a batch may take, largest published model."""
_MEMINFO = Path("/proc/meminfo")


def fitting_batch(device: torch.device) -> int:
    """Pictures to look at together: as many as half of the free memory holds, at least one."""
    largest = LARGEST.get(device.type, LARGEST["cuda"])
    free = free_memory(device)
    if free is None:
        return largest
    return max(1, min(largest, free // 2 // PICTURE.get(device.type, PICTURE["cuda"])))


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had, None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not _MEMINFO.is_file():
        return None
    lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    available = lines.get("MemAvailable")
    return None if available is None else int(available.split()[0]) * 1024
