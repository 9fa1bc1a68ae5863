"""The faults of mutants.py can be made in the kernels as they are, and only checks find them."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = runpy.run_path(str(Path(__file__).with_name("mutants.py")))


@pytest.mark.parametrize("name", MUTANTS["MUTANTS"])
def test_what_a_mutant_changes_is_there_once(name):
    csrc = Path(__file__).parents[2] / "csrc"
    mutant = MUTANTS["MUTANTS"][name]
    assert MUTANTS["edited"](mutant, csrc) != (csrc / mutant.file).read_text()


def ended_by(number: int) -> int:
    """The exit code of a process that a signal has ended."""
    no_core = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    code = f"import os, resource; {no_core}; os.kill(os.getpid(), {number})"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_a_check_that_is_killed_from_outside_finds_nothing(number):
    with pytest.raises(RuntimeError, match="killed from outside"):
        MUTANTS["complaint"](ended_by(number), "RuntimeError: not what ended it")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_check_that_crashes_finds_a_fault(number):
    assert MUTANTS["complaint"](ended_by(number), "") == f"exit code {-number}"


def test_a_check_that_fails_says_what_it_found():
    assert "wrong" in MUTANTS["complaint"](1, "AssertionError: wrong\n")
    assert MUTANTS["complaint"](0, "") == ""
