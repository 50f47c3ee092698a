"""Shards made by a real Ray: by actors that this machine starts, by some that die, by a cluster that is joined."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from conceptcaps.errors import Failure, InputError
from conceptcaps.workspace import executor, shards
from tests.workspace.test_shards import hashes, make, square

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def joined():
    """A cluster that is there already."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    yield executor.Ray(cluster.address)
    cluster.shutdown()


def dies(rows, *, mark: Path, times: int = 1):
    """Squares; whoever is given row 4 is killed, as often as is said, and leaves a mark each time."""
    if 4 in rows["n"].tolist() and len(list(mark.parent.glob(f"{mark.name}-*"))) < times:
        mark.with_name(f"{mark.name}-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(rows)


def test_two_actors_one_killed_make_the_same_shards_as_this_process(tmp_path):
    make(tmp_path / "here", shard_size=2)
    make(
        tmp_path / "ray",
        shard_size=2,
        workers=2,
        cluster=executor.Ray(),
        function=partial(dies, mark=tmp_path / "mark"),
    )
    assert len(list(tmp_path.glob("mark-*"))) == 1
    assert shards_of(tmp_path / "ray") == shards_of(tmp_path / "here")


def shards_of(folder: Path) -> dict[str, str]:
    return {name: found for name, found in hashes(folder).items() if name.startswith("part-")}


def test_a_job_that_kills_every_actor_ends_and_what_is_done_is_kept(tmp_path, joined):
    with pytest.raises(Failure, match="3 actors died of job 2 of 5"):
        make(
            tmp_path / "out",
            shard_size=2,
            workers=1,
            cluster=joined,
            function=partial(dies, mark=tmp_path / "mark", times=9),
        )
    assert set(shards_of(tmp_path / "out")) == {"part-00000.parquet", "part-00001.parquet"}


def fails_at_seven(rows):
    if 7 in rows["n"].tolist():
        raise InputError("seven")
    return square(rows)


def test_what_a_shard_raises_is_raised_here(tmp_path, joined):
    with pytest.raises(InputError, match=r"^seven$"):
        make(tmp_path / "out", shard_size=2, workers=2, cluster=joined, function=fails_at_seven)


def test_a_cluster_of_two_machines_is_joined_and_one_of_them_is_lost(tmp_path, monkeypatch):
    """By its address; the code travels there. The lost machine's shard is made by the other."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    machine = cluster.add_node(num_cpus=2)

    class Bar(shards.tqdm):
        def update(self, rows):
            super().update(rows)
            if self.n == 2 and machine in cluster.worker_nodes:
                cluster.remove_node(machine)

    monkeypatch.setattr(shards, "tqdm", Bar)
    try:
        make(tmp_path / "ray", shard_size=1, workers=2, cluster=executor.Ray(cluster.address))
    finally:
        cluster.shutdown()
    make(tmp_path / "here", shard_size=1)
    assert machine not in cluster.worker_nodes
    assert shards_of(tmp_path / "ray") == shards_of(tmp_path / "here")
