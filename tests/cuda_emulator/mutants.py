#!/usr/bin/env python3
"""Faults that somebody might make in the CUDA kernels, each of which some check has to find.

    tests/cuda_emulator/mutants.py [NAME]...

Each is made in a copy of csrc/, of which one operator is built for the emulator, with float32
alone, so that it takes seconds; then checks of tests/helpers/kernel_checks.py run until one fails,
which is printed: one that passes without the fault. The exit code is 1 if a fault lives. A check
or a compiler that is killed from outside, as for lack of memory, is an error and finds nothing.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from kernel_checks import CHECKS  # noqa: E402 # found there

WORK = ROOT / "build" / "mutants"
# What a fault can bring a process down with; others of the system come from outside.
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
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


@dataclass(frozen=True)
class Mutant:
    """``edits``: of a file below csrc/, what is there once, and what is put there instead.

    ``only``: the calls that are checked. ``checks``: by which. ``by_radix``: lists of more than
    30 are sorted by radix, so that small checks see it.
    """

    file: str
    edits: tuple[tuple[str, str], ...]
    only: str
    checks: tuple[str, ...] = ("watched", "watched in another order")
    by_radix: bool = False


def mutant(
    file: str, old: str, new: str, only: str, *checks: str, by_radix: bool = False
) -> Mutant:
    return Mutant(file, ((old, new),), only, checks or Mutant.checks, by_radix)


FENCES = "cuda/primitives/block.cuh"
ARRIVE, SEE = "  __threadfence();\n  __syncthreads();\n", "  if (last) __threadfence();\n"

MUTANTS = {
    "a last block without fences": Mutant(
        FENCES, ((ARRIVE, "  __syncthreads();\n"), (SEE, "")), "nms"
    ),
    "a last block that does not release": mutant(FENCES, ARRIVE, "  __syncthreads();\n", "nms"),
    "a last block that does not acquire": mutant(FENCES, SEE, "", "nms"),
    "a last block that does not wait for its own threads": mutant(
        FENCES, ARRIVE, "  __threadfence();\n", "nms"
    ),
    "the count of arrived blocks is left as it is": mutant(
        FENCES, "    if (is_last) *arrived = 0;\n", "", "nms", "4097"
    ),
    "a sum over a block that does not wait for the last one": mutant(
        FENCES,
        "  __syncthreads();  // those of the last call have been read\n"
        "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n",
        "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n",
        "multibox_loss",
    ),
    "places in a list are taken by load and store": mutant(
        "cuda/primitives/warp.cuh",
        "  if (lane == 0) place = atomicAdd(count, static_cast<unsigned>(__popc(holding)));\n",
        "  if (lane == 0) {\n"
        "    place = *count;\n"
        "    *count = place + static_cast<unsigned>(__popc(holding));\n"
        "  }\n",
        "decode_detections",
    ),
    "digits of several blocks are added by load and store": mutant(
        "cuda/primitives/select.cuh",
        "    if (counts[i] > 0) atomicAdd(histogram + i, counts[i]);\n",
        "    if (counts[i] > 0) histogram[i] += counts[i];\n",
        "decode_detections", "watched in another order",
    ),
    "a histogram that keeps the last digit's counts": mutant(
        "cuda/primitives/select.cuh",
        "    histogram[first + i] = 0;\n", "", "decode_detections", "4097",
    ),
    "a threshold that the last known digit is left out of": mutant(
        "cuda/primitives/select.cuh",
        "prefix | NarrowEntry{found.digit} << shift;", "NarrowEntry{found.digit} << shift;",
        "decode_detections", "4097",
    ),
    "the strongest claim is found by load and store": mutant(
        "cuda/match_anchors.cuh",
        "    fresh += atomicMax(cells + anchor, make_claim(rule, overlap, box)) <= kHidden;\n",
        "    const Key claim = make_claim(rule, overlap, box), held = cells[anchor];\n"
        "    if (claim > held) cells[anchor] = claim;\n"
        "    fresh += held <= kHidden;\n",
        "match",
    ),
    "a launch on the null stream": mutant(
        "cuda/nms.cu",
        "         kIndexThreads, 0, stream, ranked.lists",
        "         kIndexThreads, 0, nullptr, ranked.lists",
        "nms",
    ),
    "a size that is not waited for": mutant(
        "cuda/primitives/host.h",
        "  STD_CUDA_CHECK(cudaStreamSynchronize(stream));\n", "", "nms",
    ),
    "pairs that are packed wherever they lie": mutant(
        "cuda/primitives/packed.cuh",
        "tensor.size(dimension) % size == 0 &&\n"
        "              address % static_cast<uintptr_t>(size * tensor.element_size()) == 0;",
        "tensor.size(dimension) % size == 0 && address != 1;",
        "multibox_loss", "shifted",
    ),
    "boxes that are packed wherever they lie": mutant(
        "cuda/primitives/rows.cuh",
        "reinterpret_cast<uintptr_t>(data) % alignof(Four<T>) == 0", "data != nullptr",
        "encode_boxes", "shifted",
    ),
    "the last of more than 900 rows is left out": mutant(
        "cuda/l2_normalize.cuh",
        "row < num_rows; row", "row < num_rows - (num_rows > 900); row",
        "l2_normalize", "4097",
    ),
    "images beyond the rows of a grid are left out": mutant(
        "cuda/max_out_background.cuh",
        "for (int64_t image = blockIdx.y; image < images; image += gridDim.y) visit(",
        "if (const int64_t image = blockIdx.y; image < images) visit(",
        "max_out", "many images",
    ),
    "an offset of rows that is an int": mutant(
        "cuda/primitives/rows.cuh",
        "data + batch * batch_stride + row * row_stride",
        "data + static_cast<int>(batch * batch_stride + row * row_stride)",
        "code_boxes", "far", "far by the second dimension",
    ),
    "an offset of maps that is an int": mutant(
        "shared/tensor.h",
        "data + i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3]",
        "data + static_cast<int>(i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3])",
        "max_out", "far", "far by the second dimension",
    ),
    "members that are read one past their end": mutant(
        "cuda/vote_boxes.cuh", "i + 1 < size &&", "i + 1 <= size &&", "vote",
    ),
    "the last of equal scores, not the first": mutant(
        "cuda/soft_nms.cuh", "a.index < b.index", "a.index > b.index", "soft_suppression",
    ),
    "boxes that are gathered one past their end": mutant(
        "cuda/ranked_boxes.cuh",
        "  if (i >= size) return;\n  const int64_t row = order[i];",
        "  if (i > size) return;\n  const int64_t row = order[i];",
        "nms",
    ),
    "a tile that is read before it is there": mutant(
        "cuda/greedy_nms.cuh",
        "[first + threadIdx.x];\n  }\n  __syncthreads();\n  if (i < count) {",
        "[first + threadIdx.x];\n  }\n  if (i < count) {",
        "nms",
    ),
    "a ballot that stands for a fence": mutant(
        "cuda/greedy_nms.cuh",
        "    __syncwarp();  // a ballot alone", "    // a ballot alone", "nms",
    ),
    "a sort that begins before its tile is there": mutant(
        "cuda/primitives/sort.cuh",
        "  __syncthreads();\n  sort_in_chunks(entries, size, 2,",
        "  sort_in_chunks(entries, size, 2,",
        "nms",
    ),
    "lanes that sort without waiting for each other": mutant(
        "cuda/primitives/sort.cuh", "        __syncwarp();\n", "", "nms",
    ),
    "a count that is written instead of added": mutant(
        "cuda/match_anchors.cuh",
        "    atomicAdd(counts.of_images + place.image, "
        "static_cast<int>(static_cast<uint32_t>(sums)));\n",
        "    counts.of_images[place.image] = static_cast<int>(static_cast<uint32_t>(sums));\n",
        "match",
    ),
    "lists that are not empty at first": mutant(
        "cuda/decode_detections.cu",
        "    workspace_.clear(progress, histograms, stream_);\n", "", "decode_detections",
    ),
    "a shuffle that some lanes have left": mutant(
        "cuda/primitives/warp.cuh",
        "  place = __shfl_sync(kAllLanes, place, 0);\n",
        "  if (!holds) return 0;\n  place = __shfl_sync(kAllLanes, place, 0);\n",
        "decode_detections",
    ),
    "the last tile is left out of the ranks": mutant(
        "cuda/primitives/sort.cuh",
        "for (int64_t begin = 0; begin < count; begin += kSize)",
        "for (int64_t begin = 0; begin + kSize < count; begin += kSize)",
        "nms", "9000",
    ),
    "a border that two tiles share": mutant(
        "cuda/greedy_nms.cuh",
        "i >= (word + 1) * kWordBits && (open", "i > (word + 1) * kWordBits && (open",
        "nms", "9000",
    ),
    "the second launch of a sort on the null stream": mutant(
        "cuda/primitives/sort.cuh",
        "         kRankThreads, 0, stream, source, sink, sorted, capacity);",
        "         kRankThreads, 0, nullptr, source, sink, sorted, capacity);",
        "nms", "9000",
    ),
    "a radix sort on the null stream": mutant(
        "cuda/primitives/sort.cuh",
        "capacity, first_radix_bit<Source>(), stream);",
        "capacity, first_radix_bit<Source>(), nullptr);",
        "nms", by_radix=True,
    ),
    "entries that are listed beyond the end": mutant(
        "cuda/primitives/sort.cuh", "  if (i >= capacity) return;\n", "", "nms", by_radix=True,
    ),
    "entries that are placed one past their end": mutant(
        "cuda/primitives/sort.cuh",
        "  if (i >= source.count(0)) return;", "  if (i > source.count(0)) return;",
        "nms", by_radix=True,
    ),
    "candidates of equal margins as they come": mutant(
        "cuda/decode_detections.cuh",
        "kNumbersRise = false", "kNumbersRise = true", "decode_detections", by_radix=True,
    ),
    "keys that are sorted without their first bits": mutant(
        "cuda/primitives/sort.cuh",
        "Source::kNumbersRise ? 32 : 0;", "Source::kNumbersRise ? 40 : 0;", "nms", by_radix=True,
    ),
    "a NaN that is the lowest score": mutant(
        "shared/score_key.h",
        "falling_key(float score) {\n  if (score != score) return 0;",
        "falling_key(float score) {\n  if (score != score) return ~0u;",
        "nms",
    ),
    "threads without anchors leave before a barrier": mutant(
        "cuda/multibox_loss.cuh",
        "  uint32_t positives = 0, backgrounds = 0,",
        "  if (chunks.begin() + threadIdx.x >= end) return;\n"
        "  uint32_t positives = 0, backgrounds = 0,",
        "multibox",
    ),
    "an offset of anchors that is an int": mutant(
        "cuda/loss_rows.cuh",
        "data + i * image + a * row", "data + static_cast<int>(i * image + a * row)",
        "multibox", "far", "far by the second dimension",
    ),
    "keys that are listed from anywhere on": mutant(
        "cuda/multibox_loss.cuh", "  if (threadIdx.x == 0) num_listed = 0;\n", "", "multibox",
    ),
    "counts that are cleared while others count": mutant(
        "cuda/multibox_loss.cuh",
        "num_listed = 0;\n  __syncthreads();\n", "num_listed = 0;\n", "multibox",
    ),
    "digits that are counted while others look them up": mutant(
        "cuda/mining.cuh",
        "    });\n    __syncthreads();\n", "    });\n", "multibox",
    ),
    "a block that finishes an image before the others": mutant(
        "cuda/multibox_loss.cuh",
        "  if (!is_last_block(mining.arrived + 1 + image, chunks.per_image)) return;",
        "  if (chunks.chunk() > 0) return;",
        "multibox", "watched in another order",
    ),
    "blocks of an image that are counted from anywhere on": mutant(
        "cuda/multibox_loss.cu",
        "workspace.clear(histograms, arrived, stream)",
        "workspace.clear(histograms, counts, stream)",
        "multibox",
    ),
    "the last digit is left out": mutant(
        "cuda/mining.cuh", "int digit = kSharedDigits;", "int digit = kSharedDigits + 1;",
        "multibox", "4097",
    ),
    "a chunk's own ties before itself": mutant(
        "cuda/mining.cuh", "i < chunk; i += kLossThreads) before",
        "i <= chunk; i += kLossThreads) before", "multibox", "4097",
    ),
}  # fmt: skip


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
        for command in (compile_, link):
            done = subprocess.run(
                command, shell=True, cwd=folder, env=tools(), capture_output=True, text=True
            )
            refusal = done.stdout[-2000:] + done.stderr[-2000:]
            if ended_from_outside(done.returncode) or "signal terminated program" in refusal:
                raise RuntimeError(f"a compiler was killed: {refusal}")
            if done.returncode != 0:
                return folder, refusal
        return folder / "mutant.so", ""


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


def fails(library: Path, name: str, only: str) -> str:
    """What a check says against a library, in its last line; or nothing."""
    helpers = os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "cuda_emulator" / "answers.py", name, only],
        env={
            **os.environ,
            "PYTHONPATH": helpers,
            "S3FD_BRIDGE": str(library),
            "S3FD_EMULATOR_ORDER": CHECKS[name].order,
            "S3FD_SEPARATE_ARRAYS": "1",
        },
        capture_output=True,
        text=True,
    )
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
    """RuntimeError if a check fails without any fault."""
    nothing = Mutant("cuda/primitives/launch.h", (), only, by_radix=by_radix)
    library, refusal = compiler.library(nothing, CHECKS[name].watched)
    said = refusal or fails(library, name, only)
    if said:
        raise RuntimeError(f"the check {name!r} of {only!r} fails without any fault: {said}")


def killer(mutant: Mutant, compiler: Compiler) -> str:
    """The check that finds a fault, and what it says; or nothing."""
    for name in mutant.checks:
        library, refusal = compiler.library(mutant, CHECKS[name].watched)
        said = f"the compiler: {refusal}" if refusal else fails(library, name, mutant.only)
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
