"""Several processes on gloo, as torchrun starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from s3fd.training import files

WORKERS = Path(__file__).parent / "workers"


def torchrun(*arguments, processes=2, restarts=0):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", processes, "--max-restarts", restarts, *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, env=environment, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("backbone", ["light", "vgg16"])
def test_two_processes_give_the_gradient_of_one(data, tmp_path, backbone):
    results = []
    for processes in (1, 2):  # of five images: one gets two of them, the other three
        file = tmp_path / f"{processes}.pt"
        ended = torchrun(WORKERS / "gradient.py", data, file, backbone, processes=processes)
        assert ended.returncode == 0, ended.stderr
        results.append(torch.load(file, weights_only=True))
    one, two = results
    assert one.keys() == two.keys()
    scale = float(one["losses"].max())
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-6, atol=1e-6 * scale)


def test_a_worker_that_dies_is_restarted_and_the_run_ends_as_if_it_had_not(data, tmp_path, weights):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    ended = torchrun(WORKERS / "dies.py", data, undisturbed, 0)
    assert ended.returncode == 0, ended.stderr
    ended = torchrun(WORKERS / "dies.py", data, disturbed, 5, restarts=3)
    assert ended.returncode == 0, ended.stderr
    assert "SIGKILL" in ended.stderr or "-9" in ended.stderr
    for name in (files.WEIGHTS, files.BEST_WEIGHTS):
        assert weights(disturbed / name) == weights(undisturbed / name)
    log = [json.loads(line) for line in (disturbed / files.LOG).read_text().splitlines()]
    assert [line["step"] for line in log if "average_precision" in line] == [3, 6]
    state = torch.load(disturbed / files.LAST, weights_only=True)
    assert len(state["random"]) == 2


def test_processes_share_a_validation_and_what_it_skips(damaged_validation, tmp_path):
    for processes in (1, 2):
        ended = torchrun(
            WORKERS / "validation.py", damaged_validation.root, tmp_path / f"{processes}",
            processes=processes,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    alone, first, second = (
        json.loads((tmp_path / name).read_text()) for name in ("1.0", "2.0", "2.1")
    )
    assert first == alone
    assert len(alone["said"]) == len(damaged_validation.reasons)
    assert second == alone | {"said": []}


def test_each_machine_has_a_cache_of_its_own(data, tmp_path):
    ended = torchrun(WORKERS / "machines.py", data, tmp_path)
    assert ended.returncode == 0, ended.stderr
    indices = [json.loads((tmp_path / f"cache of {rank}" / "index.json").read_text())
               for rank in range(2)]  # fmt: skip
    assert [len(index["photos"]) for index in indices] == [12, 12]
    assert torch.load(tmp_path / "run" / files.LAST, weights_only=True)["step"] == 2


def test_a_machine_that_can_not_make_its_cache_ends_the_run_of_all(data, tmp_path):
    (tmp_path / "cache of 1").write_text("no folder")
    ended = torchrun(WORKERS / "machines.py", data, tmp_path)
    assert ended.returncode == 0, ended.stderr
    errors = [(tmp_path / f"error of {rank}").read_text() for rank in range(2)]
    assert errors[0] == errors[1]
    assert str(tmp_path / "cache of 1") in errors[0]


def test_the_command_runs_under_torchrun_and_one_process_speaks(data, tmp_path):
    arguments = [
        "-m", "s3fd", "train", "--data", data, "--out", tmp_path, "--steps", 2, "--batch-size", 4,
        "--input-size", 64, "--workers", 1, "--device", "cpu", "--precision", "float32",
        "--set", "augmentation.scales=[1.0]", "--set", "augmentation.scale_shares=[1.0]",
        "--set", "log_every=1", "--validate-every", 0,
    ]  # fmt: skip
    ended = torchrun(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("step 2/2") == 1
    assert ended.stdout.count("wrote") == 1
    assert len((tmp_path / files.LOG).read_text().splitlines()) == 2
    # A process that torchrun restarts goes on with a run of its own job alone.
    before = (tmp_path / files.LAST).read_bytes()
    again = torchrun(*arguments, "--set", "steps=3", restarts=1)
    assert again.returncode == 1
    assert (tmp_path / files.LAST).read_bytes() == before
    assert "continue it with --resume" in again.stderr
