"""Many requests at once, in threads that never keep a process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from ram_tagger.describing.endpoint import Abandoned, EndpointError
from ram_tagger.describing.journal import Request


@dataclass(frozen=True, slots=True)
class _Failure:
    """A request that has no answer, and why."""

    request: Request
    error: Exception


def ask_all(
    requests: Sequence[Request],
    ask: Callable[[Request], None],
    parallel: int,
    ended: threading.Event,
) -> Iterator[Request]:
    """Call `ask` for every request in `parallel` threads; gives each request once it is done.

    When `ended` is set, by a signal or by a failure, no request is begun; those on their way are
    waited for, then the first failure is raised. An EndpointError names the tag. Whoever does not
    want to wait leaves: the threads are daemons, as those of a ThreadPoolExecutor are not.
    """
    waiting: SimpleQueue[Request] = SimpleQueue()
    came: SimpleQueue[Request | _Failure | None] = SimpleQueue()
    for request in requests:
        waiting.put(request)

    def work() -> None:
        try:
            while not ended.is_set():
                request = waiting.get_nowait()
                try:
                    ask(request)
                    came.put(request)
                except Abandoned:
                    return
                except Exception as error:  # noqa: BLE001  (raised below, in the caller's thread)
                    ended.set()
                    came.put(_Failure(request, error))
        except Empty:
            return
        finally:
            came.put(None)

    running = min(parallel, len(requests))
    for number in range(running):
        threading.Thread(target=work, name=f"asking-{number}", daemon=True).start()
    failure: _Failure | None = None
    try:
        while running:
            item = came.get()
            if item is None:
                running -= 1
            elif isinstance(item, _Failure):
                failure = failure or item
            else:
                yield item
    finally:
        ended.set()
    if failure is not None:
        if isinstance(failure.error, EndpointError):
            raise EndpointError(f"{failure.request.name}: {failure.error}") from failure.error
        raise failure.error
