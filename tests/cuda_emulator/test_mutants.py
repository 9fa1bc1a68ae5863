"""The faults of mutants.py can be made in the kernels as they are: what they change is there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MUTANTS = runpy.run_path(str(Path(__file__).with_name("mutants.py")))


@pytest.mark.parametrize("name", MUTANTS["MUTANTS"])
def test_what_a_mutant_changes_is_there_once(name):
    csrc = Path(__file__).parents[2] / "csrc"
    mutant = MUTANTS["MUTANTS"][name]
    assert MUTANTS["edited"](mutant, csrc) != (csrc / mutant.file).read_text()
