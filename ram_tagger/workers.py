"""Threads that each compute alone: as many as there are processors to compute on.

Threads that share one matrix product wait for each other at its end, the slowest deciding, and
anything else that runs takes its time from all of them. Threads that each have a product of their
own wait for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """A pool of threads within which torch computes with one thread each."""

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            self.count, "worker", initializer=torch.set_num_threads, initargs=(1,)
        )
        started = threading.Barrier(self.count)
        list(self._pool.map(lambda _: started.wait(), range(self.count)))
        torch.set_num_threads(self.count)  # the initializer's is also that of threads to come

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The work of every item, in order; whoever is free takes the next one.

        items: consumed as it goes, by one worker at a time. Raises what `work` or `items` raises.
        """
        taking, stopped = threading.Lock(), threading.Event()
        numbered, done = enumerate(items), dict[int, R]()

        def take() -> tuple[int, T] | None:
            with taking:
                return None if stopped.is_set() else next(numbered, None)

        def run() -> None:
            try:
                while (item := take()) is not None:
                    done[item[0]] = work(item[1])
            finally:
                stopped.set()  # there is no more, or no more is wanted

        runs = [self._pool.submit(run) for _ in range(self.count)]
        try:
            for ended in runs:
                ended.result()
        finally:
            stopped.set()
            wait(runs)
        return [done[number] for number in range(len(done))]
