"""Jobs in processes that are started for them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec

from tqdm import tqdm

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
    for own, theirs in {"6": "3", "1": "1"}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", own)
        assert list(executor.gather(os.getenv, [("OMP_NUM_THREADS",)] * 4, 2)) == [theirs] * 4
    assert os.environ["OMP_NUM_THREADS"] == "1"


def bars(_: int) -> bool:
    return bool(tqdm([], desc="not to be shown").disable)


def test_processes_draw_no_bars_of_their_own_beside_the_common_one(capfd):
    assert list(executor.gather(bars, [(number,) for number in range(4)], 2)) == [True] * 4
    assert "not to be shown" not in capfd.readouterr().err and not bars(0)


def test_a_program_without_a_file_stays_one():
    code = (
        "import sys; from conceptcaps.workspace import executor; "
        f"print(list(executor.gather(divmod, {JOBS}, 2)), hasattr(sys.modules['__main__'], '__file__'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{RESULTS} False\n"
