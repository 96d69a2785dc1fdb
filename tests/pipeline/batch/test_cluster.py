"""Test batches on a real local Ray cluster: the layers are the same as without it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, drifting

from pipeline.cli.main import main

# Ray reads these variables when it is imported.
os.environ.update(
    {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef0123456789abcdef"}
)
ray: Any = pytest.importorskip("ray", reason="the optional extra unlayer[ray] is not installed")
from ray.cluster_utils import Cluster  # noqa: E402 - only where Ray is installed

ROOT = Path(__file__).parents[3]
OPTIONS = ("--task", "transition", "--lossless", "--no-progress", "--preset", "fast")
BATCH = (sys.executable, "-m", "pipeline", "batch", "clips", *OPTIONS)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a head without cores and two machines of one core each."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    made: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        made.add_node(num_cpus=1)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def film(path: str, seeds: tuple[int, ...], size: tuple[int, int] = (96, 128)) -> None:
    """Write a clip of scenes that dissolve into each other."""
    Path(path).parent.mkdir(exist_ok=True)
    whole: list[np.ndarray] = []
    before = np.empty(0, np.uint8)
    for number, seed in enumerate(seeds):
        scene = (
            (drifting(seed, 48, (0.4, 0.2), size) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        )
        if number:
            whole.append(dissolve(before[28:40], scene[:12], 0, 12)[0])
        whole.append(scene[12 if number else 0 : 28])
        before = scene
    media.save(Path(path), np.concatenate(whole))


def layers(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*.mkv")
    }


def expected() -> dict[str, str]:
    """Return the layers without Ray, computed with one thread."""
    done = subprocess.run(
        [*BATCH, "--out", "plain", "--jobs", "2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return layers("plain")


def statuses(out: str) -> list[str]:
    return [clip["status"] for clip in json.loads(Path(out, "batch.json").read_text())["clips"]]


def driver(address: str, *more: str) -> subprocess.Popen[str]:
    words = [*BATCH, "--out", "out", "--ray", address, *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(seen: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def workers_at(stage: str) -> list[int]:
    """Return the processes of the cluster that now do a task of this kind."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if line.startswith(f"ray::{stage} ".encode()):
            found.append(int(entry.name))
    return found


def test_a_cluster_gives_the_same_layers(cluster: Any) -> None:
    film("clips/long.mkv", (1, 2, 3, 4))
    film("clips/short.mkv", (5, 6))
    Path("clips/bad.mp4").write_bytes(b"no clip")
    child = driver(cluster.address)
    _, err = child.communicate(timeout=300)
    assert child.returncode == 1, err
    assert statuses("out") == ["failed", "done", "done"] and "bad.mp4" in err
    Path("clips/bad.mp4").unlink()
    assert layers("out") == expected() and len(layers("out")) == 6
    again = driver(cluster.address)
    again.communicate(timeout=300)
    assert statuses("out") == ["unchanged", "unchanged"] and again.returncode == 0


def test_a_killed_worker_and_a_lost_machine(cluster: Any) -> None:
    film("clips/long.mkv", (1, 2, 3, 4))
    child = driver(cluster.address)
    until(lambda: workers_at("part"))
    os.kill(workers_at("part")[0], signal.SIGKILL)
    until(lambda: list(Path("out").rglob("parts.safetensors")) or workers_at("part"))
    cluster.remove_node(max(cluster.worker_nodes, key=str), allow_graceful=False)
    _, err = child.communicate(timeout=500)
    assert child.returncode == 0, err
    assert statuses("out") == ["done"] and layers("out") == expected()


def test_runs_on_shared_storage(cluster: Any, tmp_path: Path) -> None:
    """Every task works in its own folder and gets what it needs from the store."""
    film("clips/long.mkv", (1, 2, 3))
    store = f"file://{tmp_path}/store"
    child = driver(cluster.address, "--store", store)
    until(lambda: list(Path("store").rglob("parts.safetensors")) or workers_at("part"))
    os.kill(workers_at("part")[0], signal.SIGKILL)
    _, err = child.communicate(timeout=500)
    assert child.returncode == 0, err
    assert (
        layers("store") == expected()
        and layers("out") == {}
        and not list(Path("store").rglob(".work"))
    )
    again = driver(cluster.address, "--store", store)
    again.communicate(timeout=300)
    assert statuses("out") == ["unchanged"] and again.returncode == 0


def test_a_killed_driver_is_started_again(cluster: Any) -> None:
    film("clips/a.mkv", (1, 2, 3))
    film("clips/b.mkv", (4, 5))
    child = driver(cluster.address)
    until(lambda: list(Path("out").rglob("parts.safetensors")))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    until(lambda: not workers_at("part") and not workers_at("finish"))
    kept = {path: path.stat().st_mtime_ns for path in Path("out").rglob("parts.safetensors")}
    again = driver(cluster.address)
    _, err = again.communicate(timeout=500)
    assert again.returncode == 0, err
    assert kept and layers("out") == expected() and set(statuses("out")) <= {"done", "unchanged"}


def test_an_address_where_no_cluster_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    film("clips/a.mkv", (1, 2))
    words = "batch clips --task transition --ray 127.0.0.1:1 --no-progress".split()
    assert main(words) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert "no cluster answers" in err[-1] and "ray start --head" in err[-1]
