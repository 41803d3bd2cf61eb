"""Training in several processes, on one machine or many: torchrun starts them, DDP joins them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ram_tagger.errors import RamTaggerError
from ram_tagger.predict import choose_device

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: one of them evaluates while the rest do nothing."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together; alone, everything here does nothing."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes, evaluates and prints."""
        return self.rank == 0

    def joined(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes."""
        if self.size == 1:
            return network
        # Parts of some backbones take no part in tagging; a label with one description needs no
        # reweighting: such parameters get no gradient, which is no reason to warn where none is so.
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        return DistributedDataParallel(
            network, find_unused_parameters=True, broadcast_buffers=False
        )

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of every process in order of rank; all hand in equally many, of equal widths."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def gather_all(self, things: Sequence[T]) -> list[T]:
        """The things of every process, in order of rank."""
        if self.size == 1:
            return list(things)
        parts: list[list[T]] = [[] for _ in range(self.size)]
        dist.all_gather_object(parts, list(things))
        return [thing for part in parts for thing in part]

    def agreed(self, do: Callable[[], None]) -> None:
        """Let the leading process do something; where it fails, it fails in every process."""
        failure: list[RamTaggerError | None] = [None]
        if self.leads:
            try:
                do()
            except RamTaggerError as error:
                failure = [error]
        if self.size > 1:
            dist.broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]

    def largest(self, number: int) -> int:
        """The largest number of any process."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until every process has come this far."""
        if self.size > 1:
            dist.barrier()


def without_joining(network: nn.Module, last: bool) -> AbstractContextManager[None]:
    """While gradients are still being added up, processes need not exchange them."""
    if last or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    return cast(AbstractContextManager[None], network.no_sync())


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one.

    device: as everywhere (`auto`, `cpu`, `cuda`); of several GPUs each process takes its own.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes(choose_device(device))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
