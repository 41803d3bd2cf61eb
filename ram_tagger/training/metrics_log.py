"""What training tells as it goes: JSON lines, TensorBoard, and whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ram_tagger.training.loop import Taken
from ram_tagger.training.run_folder import RunFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = Mapping[str, Any]
"""`step` and either figures of training or `evaluation` and `mAP`."""


class MetricsLog:
    """Means over the steps since the last row; what is not yet in a row survives a restart."""

    def __init__(self, folder: RunFolder, listen: Callable[[Row], None]) -> None:
        self._folder, self._listen = folder, listen
        self._sums: dict[str, Tensor] = {}
        self._counted = 0
        self._board: SummaryWriter | None = None
        self._since, self._timed = time.monotonic(), 0

    def open_board(self, step: int) -> bool:
        """Write TensorBoard's files too, from this step on; False where it is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return False
        self._board = SummaryWriter(str(self._folder.tensorboard), purge_step=step + 1)
        return True

    def add(self, taken: Taken) -> None:
        """Count one step."""
        values = {**taken.losses, "gradient": taken.gradient}
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._counted += 1
        self._timed += 1

    def row(self, taken: Taken, skipped: int, pictures: int) -> Row:
        """The means since the last row, which begins anew; pictures: how many a step takes."""
        elapsed = max(time.monotonic() - self._since, 1e-9)
        means = {name: float(total) / self._counted for name, total in self._sums.items()}
        losses = {name: mean for name, mean in means.items() if name != "gradient"}
        row = {
            "step": taken.step,
            "loss": sum(losses.values()),
            **losses,
            "gradient": means["gradient"],
            "rate": taken.rate,
            "pictures_per_second": self._timed * pictures / elapsed,
            "skipped": skipped,
        }
        self._sums.clear()
        self._counted = self._timed = 0
        self._since = time.monotonic()
        return row

    def write(self, row: Row) -> None:
        """Keep a row everywhere."""
        self._folder.measured(row)
        self._listen(row)
        if self._board is None:
            return
        if "evaluation" in row:
            self._board.add_scalar(f"mAP/{row['evaluation']}", row["mAP"], row["step"])
        else:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(f"training/{name}", value, row["step"])
        self._board.flush()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"sums": dict(self._sums), "counted": self._counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._sums, self._counted = dict(state["sums"]), int(state["counted"])

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()
