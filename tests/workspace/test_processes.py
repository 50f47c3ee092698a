"""Jobs in processes that are started for them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec

import torch

from conceptcaps.workspace import executor

JOBS, RESULTS = [(7, 2), (8, 3), (9, 4), (5, 5)], [(3, 1), (2, 2), (2, 1), (1, 0)]


def gathered() -> list[tuple[int, int]]:
    return list(executor.gather(divmod, JOBS, 2))


def test_a_process_does_not_import_the_stage_that_starts_it(monkeypatch):
    program, stage = sys.modules["__main__"], ModuleSpec("entrypoints.nowhere", None)
    monkeypatch.setattr(program, "__spec__", stage)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(gathered) for _ in range(2)]
        assert [later.result() for later in found] == [RESULTS, RESULTS]
    assert program.__spec__ is stage


def test_processes_share_the_threads_of_the_one_that_starts_them(monkeypatch):
    for own, theirs in {6: 3, 1: 1}.items():
        monkeypatch.setattr(torch, "get_num_threads", lambda own=own: own)
        assert executor.cores() == own
        assert list(executor.gather(torch.__config__.parallel_info, [()] * 4, 2)) == [Threads(theirs)] * 4


class Threads:
    """Equal to what PyTorch says of itself where it works on so many threads."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __eq__(self, told: object) -> bool:
        return f"at::get_num_threads() : {self.count}\n" in str(told)

    __hash__ = None


def test_processes_know_that_they_work_for_another():
    assert list(executor.gather(executor.is_worker, [()] * 4, 2)) == [True] * 4 and not executor.is_worker()


def test_a_program_without_a_file_stays_one():
    code = (
        "import sys; from conceptcaps.workspace import executor; "
        f"print(list(executor.gather(divmod, {JOBS}, 2)), hasattr(sys.modules['__main__'], '__file__'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{RESULTS} False\n"
