"""The campaigns of ``make torture`` that are quick: that they begin, and what is whole is right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parent / "torture"


@pytest.mark.parametrize(
    ("campaign", "size", "whole"),
    [("operators", 0.001, 30), ("labels", 0.002, 20), ("checkpoints", 0.001, 10)],
)
def test_a_campaign_begins_with_what_is_whole_and_finds_no_fault(campaign, size, whole):
    arguments = [campaign, "--size", str(size), "--patience", "20"]
    run = subprocess.run(
        [sys.executable, str(TORTURE), *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    counts = re.search(rf"{campaign} +(\d+) +(\d+) +(\d+)", run.stdout).groups()
    cases, right, refused = map(int, counts)
    assert right >= whole
    assert right + refused == cases


def test_a_case_of_its_own_number_is_done_here():
    arguments = ["operators", "--case", "2"]
    run = subprocess.run(
        [sys.executable, str(TORTURE), *arguments], capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("right\n"), run.stdout + run.stderr
