"""The faults of mutants.py can be made in the kernels as they are, and only checks find them."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

MUTANTS = runpy.run_path(str(Path(__file__).with_name("mutants.py")))


@pytest.mark.parametrize("name", MUTANTS["MUTANTS"])
def test_what_a_mutant_changes_is_there_once(name):
    csrc = Path(__file__).parents[2] / "csrc"
    mutant = MUTANTS["MUTANTS"][name]
    assert MUTANTS["edited"](mutant, csrc) != (csrc / mutant.file).read_text()


def ended_by(number: int) -> int:
    """The exit code of a process that a signal has ended.

    Jobs in the background of a shell hand on that some are ignored.
    """
    no_core = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    default = f"{number} == signal.SIGKILL or signal.signal({number}, signal.SIG_DFL)"
    code = f"import os, resource, signal; {no_core}; {default}; os.kill(os.getpid(), {number})"
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


def running(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_check_that_does_not_end_finds_a_fault_by_its_limit():
    began = time.monotonic()
    said = MUTANTS["outcome"](running("while True: pass"), {}, 0.5)
    assert said == "does not end in 0.5 s"
    assert time.monotonic() - began < 60


def test_a_check_that_ends_within_its_limit_says_what_it_did_without_one():
    assert MUTANTS["outcome"](running("pass"), {}, 60) == ""
    assert "wrong" in MUTANTS["outcome"](running("raise ValueError('wrong')"), {}, 60)
    variable = "import os; assert os.environ['ASKED'] == 'yes'"
    assert MUTANTS["outcome"](running(variable), {"ASKED": "yes"}, 60) == ""


def test_a_check_that_is_killed_before_its_limit_finds_nothing():
    kill = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    with pytest.raises(RuntimeError, match="killed from outside"):
        MUTANTS["outcome"](running(kill), {}, 60)


@pytest.fixture
def killer(monkeypatch, tmp_path):
    """What finds a fault which the checks would find, if a command stands for the compiler."""
    scope = MUTANTS["killer"].__globals__
    monkeypatch.setitem(scope, "check_sound", lambda *_: None)
    monkeypatch.setitem(scope, "fails", lambda *_: "a check found it")

    def killer_of(command: str, refused: str) -> str:
        answer = MUTANTS["refusal_of"]
        compiler = SimpleNamespace(library=lambda *_: (tmp_path, answer(command, tmp_path)))
        mutant = MUTANTS["Mutant"]("a.cu", (("b", "c"),), "nms", ("watched",), refused=refused)
        return MUTANTS["killer"](mutant, compiler)

    return killer_of


REFUSES = "echo 'error: static assertion failed' >&2; exit 1"


def test_a_fault_that_does_not_compile_is_an_error(killer):
    for command in (REFUSES, "exit 1"):  # what is said, if anything, does not matter
        with pytest.raises(RuntimeError, match="does not compile"):
            killer(command, "")


def test_a_fault_that_is_refused_as_its_list_says_is_found(killer):
    said = killer(REFUSES, "assertion failed")
    assert said == "watched: the compiler: error: static assertion failed\n"


def test_a_fault_that_is_refused_for_something_else_is_an_error(killer):
    with pytest.raises(RuntimeError, match="does not compile"):
        killer("echo 'expected ;'; exit 1", "assertion")


def test_a_fault_that_ought_to_be_refused_lives_if_it_compiles(killer):
    assert killer("true", "assertion failed") == ""
    assert killer("true", "") == "watched: a check found it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_compiler_that_is_killed_is_an_error(tmp_path, number):
    with pytest.raises(RuntimeError, match="a compiler was killed"):
        MUTANTS["refusal_of"](f"kill -{int(number)} $$", tmp_path)
