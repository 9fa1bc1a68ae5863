"""Lists around the length above which one list is sorted by radix."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from long_lists import MOST_RANKED, long_calls

ANSWER = """
import sys
import kernel_bridge
import torch
from host_calls import calls
from long_lists import long_calls
from operator_calls import assert_same

for name, call in long_calls(int(sys.argv[1])).items():
    if sys.argv[2] not in name:
        continue
    with kernel_bridge.closed():
        expected = call()
    print(name)
    assert_same(calls(call), expected)
"""

# The sorts of one list in each call: by score, by place, by owner; by margin.
SORTS = {
    "nms": 2,
    "nms of double": 2,
    "nms of half, padded": 2,
    "batched_nms": 2,
    "vote_boxes": 3,
    "decode_detections": 1,
    "decode_detections of two": 0,
}


@pytest.mark.parametrize(("size", "only"), [(MOST_RANKED, "double"), (MOST_RANKED + 1, "")])
def test_both_ways_of_sorting_answer_as_the_cpu_does(emulated_python, size, only):
    done = emulated_python("-c", ANSWER, str(size), only)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    names, counts = done.stdout.splitlines()[::2], done.stdout.splitlines()[1::2]
    memsets = {n: json.loads(line)["memsets"] for n, line in zip(names, counts, strict=True)}
    # An emulated radix sort sets its memory once, decode_detections its own.
    assert memsets == {
        name: sorts * (size > MOST_RANKED) + name.startswith("decode")
        for name, sorts in SORTS.items()
        if only in name
    }


def test_the_length_that_the_tests_know_is_that_of_the_kernels():
    sort = Path(__file__).parents[2] / "csrc" / "cuda" / "primitives" / "sort.cuh"
    assert re.findall(r"kMostRanked = (\d+);", sort.read_text()) == [str(MOST_RANKED)]
    assert set(SORTS) == set(long_calls(4))
