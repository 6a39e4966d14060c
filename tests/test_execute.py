"""Blocks through executors."""

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.execute import SERIAL, Dask, Processes, Threads, available_processors, cgroup_quota, map_blocks


def square(x: int) -> int:
    return x * x


def process_number(_: int) -> int:
    return os.getpid()


@given(st.lists(st.integers()), st.integers(1, 4))
def test_results_come_in_the_order_of_blocks_for_any_number_of_workers(blocks, workers):
    with Threads(workers) as threads:
        assert list(map_blocks(square, blocks, threads)) == list(map_blocks(square, blocks, SERIAL))


def test_slow_blocks_do_not_change_the_order():
    def wait(x: float) -> float:
        time.sleep(x)
        return x

    assert list(map_blocks(wait, [0.05, 0, 0.02, 0], Threads(3))) == [0.05, 0, 0.02, 0]


def test_blocks_are_taken_only_when_a_worker_will_soon_be_free():
    taken = 0

    def blocks():
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield n

    executor = Threads(2)
    for done, _ in enumerate(map_blocks(square, blocks(), executor)):
        assert taken <= done + executor.in_flight


def test_threads_share_memory_and_work_at_the_same_time():
    barrier = threading.Barrier(2, timeout=10)
    assert len(list(map_blocks(lambda _: barrier.wait(), range(2), Threads(2)))) == 2


@pytest.mark.parametrize("executor", [SERIAL, Threads(2)])
def test_exceptions_arrive_where_results_are_taken_and_stop_the_rest(executor):
    started = []

    def fail(x: int) -> int:
        started.append(x)
        return 1 // (x - 3)

    results = map_blocks(fail, range(1000), executor)
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(started) < 20


def test_a_consumer_may_stop_early():
    results = map_blocks(square, range(1000), Threads(2))
    assert next(results) == 0
    results.close()


def test_processes_give_the_same_results_from_other_processes():
    with Processes(2) as processes:
        assert list(map_blocks(square, range(20), processes)) == [n * n for n in range(20)]
        assert os.getpid() not in set(map_blocks(process_number, range(4), processes))


def test_processes_end_when_closed():
    processes = Processes(1)
    (number,) = map_blocks(process_number, [0], processes)
    processes.close()
    for _ in range(100):
        if not Path(f"/proc/{number}").exists() or "Z" in Path(f"/proc/{number}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    raise AssertionError("the worker is still there")


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="at least one worker"):
        Threads(0)


def test_dask_workers_are_used_through_their_client():
    class Client:
        def ncores(self):
            return {"a": 2, "b": 1}

        def submit(self, function, *arguments, pure):
            assert pure is False
            return SERIAL.submit(function, *arguments)

    dask = Dask(Client())
    assert dask.workers == 3
    assert list(map_blocks(square, range(10), dask)) == [n * n for n in range(10)]


def test_at_least_one_processor_is_available():
    assert 1 <= available_processors() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {}, float("inf")),
        ("2:cpu,cpuacct:/j\n", {"cpu,cpuacct/j/cpu.cfs_quota_us": "20", "cpu,cpuacct/j/cpu.cfs_period_us": "10"}, 2),
        ("2:cpu:/j\n", {"cpu/j/cpu.cfs_quota_us": "-1"}, float("inf")),
        ("2:memory:/j\n", {"memory/j/cpu.max": "1 1"}, float("inf")),
    ],
)
def test_quotas_of_control_groups_are_respected(tmp_path, group, files, quota):
    (tmp_path / "cgroup").write_text(group)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_quota(tmp_path / "cgroup", tmp_path) == quota
