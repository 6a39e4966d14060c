"""Running one function over many blocks: serially, in threads, in processes, or on a Dask cluster.

Whatever the executor, results come in the order of the blocks, blocks are taken from their iterable only when a worker
will soon be free for them (so memory is bounded by `in_flight` blocks and results), the first exception is raised where
the results are consumed, and nothing waits for work whose result nobody wants any more.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

__all__ = [
    "SERIAL",
    "Dask",
    "Executor",
    "Processes",
    "Serial",
    "Threads",
    "available_processors",
    "cgroup_quota",
    "map_blocks",
]

Block = TypeVar("Block")
Result = TypeVar("Result")


class Pending(Protocol):
    """A result that is being worked out."""

    def result(self) -> Any: ...
    def cancel(self) -> Any: ...


@runtime_checkable
class Executor(Protocol):
    """Where blocks are worked on.

    `workers` blocks are worked on at the same time; at most `in_flight` are submitted whose results are not yet taken.
    """

    @property
    def workers(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Pending: ...
    def close(self) -> None:
        """Give up all work at once."""
        ...


def map_blocks(
    function: Callable[[Block], Result], blocks: Iterable[Block], executor: Executor | None = None
) -> Iterator[Result]:
    """Yield ``function(block)`` for each of the blocks, in their order.

    The function must not call `map_blocks` with the same executor: workers waiting for workers may wait for ever.
    """
    if executor is None or (executor.workers == 1 and isinstance(executor, Serial)):
        yield from map(function, blocks)
        return
    pending: deque[Pending] = deque()
    try:
        for block in blocks:
            pending.append(executor.submit(function, block))
            if len(pending) >= executor.in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for unwanted in pending:
            unwanted.cancel()


class Serial:
    """One block after the other, in the calling thread."""

    workers = 1
    in_flight = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Pending:
        return _Done(function(*arguments))

    def close(self) -> None:
        pass


class _Done:
    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self) -> Any:
        return self._value

    def cancel(self) -> None:
        pass


SERIAL = Serial()


class _Pooled(ABC):
    """An executor with a pool of workers that starts when it is first used and is kept between calls."""

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"an executor needs at least one worker, not {workers}")
        self.workers = workers
        self._pool: Pool | None = None

    @property
    def in_flight(self) -> int:
        """A few more than workers, so that one slow block does not leave the others idle."""
        return self.workers + 2

    @abstractmethod
    def _start(self) -> Pool: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Pending:
        if self._pool is None:
            self._pool = self._start()
        return self._pool.submit(function, *arguments)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Threads(_Pooled):
    """Threads of this process: nothing is copied. For work that releases the interpreter lock, as kernels do."""

    def _start(self) -> Pool:
        return ThreadPoolExecutor(self.workers, thread_name_prefix="block")


class Processes(_Pooled):
    """Other processes: function, blocks and results are pickled. For work that holds the interpreter lock."""

    def _start(self) -> Pool:
        # Forking a process that has threads can lock up, so workers start from a clean interpreter.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)

    def close(self) -> None:
        workers = list((getattr(self._pool, "_processes", None) or {}).values())
        super().close()
        for worker in workers:
            worker.terminate()


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class Dask:
    """Workers of a Dask cluster, given a ``dask.distributed.Client``. Function, blocks and results are pickled."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def workers(self) -> int:
        return max(1, sum(self._client.ncores().values()))

    @property
    def in_flight(self) -> int:
        return 2 * self.workers

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Pending:
        # Dask takes equal calls for one call; ours may read files that have changed.
        return self._client.submit(function, *arguments, pure=False)

    def close(self) -> None:
        pass


def available_processors() -> int:
    """The number of processors this process may use: its affinity and the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(affinity, cgroup_quota())))


def cgroup_quota(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors' worth of time that the control groups (version 1 or 2) allow; infinite where none limits it."""
    quota = math.inf
    with contextlib.suppress(OSError):
        for line in proc.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = root / controllers if controllers else root
            folder = base / name.lstrip("/")
            # In a container the group's own name is often not visible below the mount: ask the mount as well.
            for group in {base, folder, *(p for p in folder.parents if base in p.parents)}:
                quota = min(quota, _quota_of(group))
    return quota


def _quota_of(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (group / "cpu.max").read_text().split()
        return math.inf if allowed == "max" else int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError):
        allowed = int((group / "cpu.cfs_quota_us").read_text())
        return math.inf if allowed < 0 else allowed / int((group / "cpu.cfs_period_us").read_text())
    return math.inf
