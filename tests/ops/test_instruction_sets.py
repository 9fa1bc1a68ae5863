"""The kernels are compiled several times over: every version gives the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ANSWERS = Path(__file__).parent / "workers" / "answers.py"


def answers(instruction_set: str) -> dict[str, str]:
    """The answers of all operators, by name, as hashes, of a process that is so limited."""
    environment = {**os.environ, "S3FD_INSTRUCTION_SET": instruction_set}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, str(ANSWERS)],
        capture_output=True, text=True, env=environment, check=False, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return dict(line.split() for line in ended.stdout.splitlines())


@pytest.fixture(scope="module")
def best() -> dict[str, str]:
    found = answers("")
    assert len(found) > 50
    return found


@pytest.mark.skipif("S3FD_BRIDGE" in os.environ, reason="the kernels of a GPU have one version")
@pytest.mark.parametrize("instruction_set", ["generic", "avx2"])
def test_all_instruction_sets_give_the_same_bits(
    instruction_set: str, best: dict[str, str]
) -> None:
    assert answers(instruction_set) == best
