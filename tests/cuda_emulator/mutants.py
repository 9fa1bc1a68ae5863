#!/usr/bin/env python3
"""Faults that somebody might make in the CUDA kernels, each of which some check has to find.

    tests/cuda_emulator/mutants.py [NAME]...

Each is made in a copy of csrc/, of which one operator is built for the emulator, with float32
alone, so that it takes seconds; then checks of tests/helpers/kernel_checks.py run until one fails,
which is printed: one that passes without the fault. The exit code is 1 if a fault lives. A check
that does not end finds a fault, too, after SECONDS; without it, it has to end in a third of them.
A check or a compiler that is killed from outside, as for lack of memory, is an error and finds
nothing; so is a fault that does not compile, unless the list says what the compiler has to say.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(Path(__file__).parent), str(ROOT / "tests" / "helpers")]

from kernel_checks import CHECKS  # noqa: E402 # found there
from listed_mutants import MUTANTS, Mutant  # noqa: E402 # beside this file

WORK = ROOT / "build" / "mutants"
# What a fault can bring a process down with; others of the system come from outside.
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
SECONDS = 600  # for a check, which takes up to a minute
OBJECTS = ("emulator", "watch", "torch_calls", "radix_sort")
SORT, MOST_RANKED = "cuda/primitives/sort.cuh", ("kMostRanked = 32768;", "kMostRanked = 30;")

# By what the names of calls contain, which file has their kernels.
SOURCES = (
    ("decode_detections", "decode_detections.cu"),
    ("match", "match_anchors.cu"),
    ("multibox", "multibox_loss.cu"),
    ("max_out", "max_out_background.cu"),
    ("l2_normalize", "l2_normalize.cu"),
    ("vote", "vote_boxes.cu"),
    ("soft_suppression", "soft_nms.cu"),
    ("code_boxes", "box_coding.cu"),
    ("nms", "nms.cu"),
)


def edited(mutant: Mutant, *folders: Path) -> str:
    """The text of the file with the fault; ValueError if what it changes isn't there once.

    ``folders``: the first of them that has the file.
    """
    text = next(f / mutant.file for f in folders if (f / mutant.file).exists()).read_text()
    for old, new in mutant.edits:
        if text.count(old) != 1:
            raise ValueError(f"csrc/{mutant.file} has {text.count(old)} times:\n{old}")
        text = text.replace(old, new)
    return text


class Compiler:
    """Builds single kernels for the emulator as CMake would, of float32 alone, which is quicker."""

    def __init__(self) -> None:
        self._sources = WORK / "csrc"
        shutil.rmtree(self._sources, ignore_errors=True)
        shutil.copytree(ROOT / "csrc", self._sources)
        dispatch = self._sources / "shared" / "tensor.h"
        text = dispatch.read_text()
        for name, kind in (("Double", "double"), ("Half", "Half"), ("BFloat16", "BFloat16")):
            case = f"    case ScalarType::{name}:\n"
            case += f"      return function.template operator()<{kind}>();\n"
            if case not in text:
                raise ValueError(f"csrc/shared/tensor.h has no longer:\n{case}")
            text = text.replace(case, "")
        dispatch.write_text(text)

    def library(self, mutant: Mutant, watched: bool) -> tuple[Path, str]:
        """The library with one operator's kernels, and what the compiler says against it."""
        folder = configured(watched)
        overlay = folder / "overlay"
        shutil.rmtree(overlay, ignore_errors=True)
        mutants = [mutant]
        if mutant.by_radix:
            mutants.append(Mutant(SORT, (MOST_RANKED,), mutant.only))
        for changed in mutants:
            (overlay / changed.file).parent.mkdir(parents=True, exist_ok=True)
            (overlay / changed.file).write_text(edited(changed, overlay, self._sources))
        source = next(name for part, name in SOURCES if part in mutant.only)
        commands = subprocess.run(
            ["ninja", "-C", folder, "-t", "commands", "_kernels"],
            capture_output=True, text=True, check=True, env=tools(),
        ).stdout.splitlines()  # fmt: skip
        compile_ = next(line for line in commands if line.endswith(f"/{source}"))
        folder_of_source = overlay if mutant.file.endswith(".cu") else self._sources
        compile_ = re.sub(r" -c \S+$", f" -c {folder_of_source}/cuda/{source}", compile_)
        # Behind the emulator's own headers, and before all others.
        compile_ = re.sub(r" -I\S+/csrc ", f" -I{overlay} -I{self._sources} ", compile_)
        compile_ = re.sub(r" -o \S+\.o ", f" -O0 -w -o {folder}/mutant.o ", compile_)
        link = re.sub(r"( \S+\.cu\.o)+", f" {folder}/mutant.o", commands[-1])
        link = re.sub(r" -o \S+", f" -o {folder}/mutant.so", link)
        refusal = refusal_of(compile_, folder) or refusal_of(link, folder)
        return folder / "mutant.so", refusal


@functools.cache
def configured(watched: bool) -> Path:
    """The folder of a build that has the emulator itself, and none of the kernels."""
    folder = WORK / ("watched" if watched else "plain")
    options = [f"-DPython_EXECUTABLE={sys.executable}", f"-DS3FD_WATCH={watched}"]
    configure = ["cmake", "-S", Path(__file__).parent, "-B", folder, "-G", "Ninja", *options]
    objects = [f"CMakeFiles/_kernels.dir/{name}.cpp.o" for name in OBJECTS]
    for command in (configure, ["ninja", "-C", folder, *objects]):
        subprocess.run(command, env=tools(), capture_output=True, check=True)
    return folder


def tools() -> dict[str, str]:
    """The environment of compilers: no cache, which overlooks that another file comes first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CCACHE_DISABLE": "1"}


def ended_from_outside(code: int) -> bool:
    """Whether a process, or a shell's command, was ended by a signal that is none of its own."""
    number = code - 128 if code > 128 else -code
    return number > 0 and number not in CRASHES


def refusal_of(command: str, folder: Path) -> str:
    """What a compiler says that refuses; or nothing. RuntimeError if it could not say it."""
    done = subprocess.run(
        command, shell=True, cwd=folder, env=tools(), capture_output=True, text=True
    )
    said = done.stdout[-2000:] + done.stderr[-2000:]
    if ended_from_outside(done.returncode) or "signal terminated program" in said:
        raise RuntimeError(f"a compiler was killed: {said}")
    return (said or f"exit code {done.returncode}") if done.returncode != 0 else ""


def fails(library: Path, name: str, only: str, seconds: float = SECONDS) -> str:
    """What a check says against a library, in its last line; or nothing."""
    helpers = os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)])
    variables = {
        "PYTHONPATH": helpers,
        "S3FD_BRIDGE": str(library),
        "S3FD_EMULATOR_ORDER": CHECKS[name].order,
        "S3FD_SEPARATE_ARRAYS": "1",
    }
    answers = str(ROOT / "tests" / "cuda_emulator" / "answers.py")
    return outcome([sys.executable, answers, name, only], variables, seconds)


def outcome(command: list[str], variables: dict[str, str], seconds: float) -> str:
    """What a check that is run so says in this time, or that it does not end; or nothing."""
    env = {**os.environ, **variables}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"does not end in {seconds:g} s"
    return complaint(done.returncode, done.stderr)


def complaint(code: int, errors: str) -> str:
    """What a check that ended so says against a library; RuntimeError if it could not say it."""
    if code == 0:
        return ""
    if ended_from_outside(code):
        raise RuntimeError(f"a check was killed from outside: exit code {code}")
    lines = [line for line in errors.splitlines() if "Error" in line or "    at " in line]
    return " ".join(lines[-2:]).strip() or f"exit code {code}"


@functools.cache
def check_sound(compiler: Compiler, only: str, name: str, by_radix: bool) -> None:
    """RuntimeError if a check fails without any fault, or takes long enough to seem endless."""
    nothing = Mutant("cuda/primitives/launch.h", (), only, by_radix=by_radix)
    library, refusal = compiler.library(nothing, CHECKS[name].watched)
    said = refusal or fails(library, name, only, SECONDS / 3)
    if said:
        raise RuntimeError(f"the check {name!r} of {only!r} fails without any fault: {said}")


def killer(mutant: Mutant, compiler: Compiler) -> str:
    """The check that finds a fault, and what it says; or nothing.

    RuntimeError if the compiler refuses what it should take, as an edit of what has changed
    meanwhile: no check has seen such a fault.
    """
    for name in mutant.checks:
        library, refusal = compiler.library(mutant, CHECKS[name].watched)
        if refusal and (not mutant.refused or mutant.refused not in refusal):
            raise RuntimeError(f"the fault does not compile: {refusal}")
        if mutant.refused:
            said = f"the compiler: {refusal}" if refusal else ""
        else:
            said = fails(library, name, mutant.only)
        if said:
            check_sound(compiler, mutant.only, name, mutant.by_radix)
            return f"{name}: {said}"
    return ""


def main(names: list[str]) -> int:
    compiler = Compiler()
    alive = 0
    for name in names or MUTANTS:
        found = killer(MUTANTS[name], compiler)
        alive += not found
        print(f"{name}\n    {found or 'LIVES'}", flush=True)
    print(f"{alive} of {len(names or MUTANTS)} live")
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
