"""The claims of tests/ops hold for the CUDA kernels, in whatever order their threads run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernel_checks import CHECKS

ROOT = Path(__file__).parents[2]
ANSWERS = Path(__file__).with_name("answers.py")

# Whose threads work together most; in the other orders these are enough, since CHECKS finds what
# depends on an order in whatever order it is looked for.
TOGETHER = (
    "nms",
    "batched_nms",
    "soft_nms",
    "vote_boxes",
    "match_grid",
    "multibox_mining",
    "l2_normalize",
)

# What does not run kernels in another order the second time: compilation, fake tensors and twins.
ONCE = "not opcheck and not compile and not transforms and not refuses and not errors"


def test_all_tests_of_the_operators_pass(emulated_python, order):
    all_of_them = order.startswith("random")
    files = ["tests/ops"] if all_of_them else [f"tests/ops/test_{name}.py" for name in TOGETHER]
    done = emulated_python(
        *("-m", "pytest", "-p", "kernel_bridge", *files),
        *("--quiet", "--exitfirst", "-p", "no:cacheprovider", "-m", "not large"),
        *(() if all_of_them else ("-k", ONCE)),
        S3FD_EMULATOR_ORDER=order,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", CHECKS)
def test_operators_answer_as_on_the_cpu(emulated_python, name):
    check = CHECKS[name]
    done = emulated_python(
        *(str(ANSWERS), name),
        kind="watched" if check.watched else "plain",
        S3FD_EMULATOR_ORDER=check.order,
        S3FD_SEPARATE_ARRAYS="1",
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    if not check.many_images and not check.turns:
        schema = (ROOT / "csrc" / "schema.cpp").read_text()
        called = done.stdout.split("called:")[1].split()
        assert called == sorted(re.findall(r'"(\w+)\(', schema))
