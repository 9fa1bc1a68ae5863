"""The claims of tests/ops hold for the CUDA kernels, in whatever order their threads run."""

from __future__ import annotations

from pathlib import Path

TESTS_OF_OPERATORS = Path(__file__).parents[1] / "ops"


# What does not run kernels in another order the second time: compilation, fake tensors and twins.
ONCE = "not opcheck and not compile and not transforms and not refuses and not errors"


def test_all_tests_of_the_operators_pass(emulated_python, order):
    done = emulated_python(
        "-m",
        "pytest",
        str(TESTS_OF_OPERATORS),
        *("--quiet", "--exitfirst", "-p", "no:cacheprovider", "-m", "not large"),
        *(() if order == "forward" else ("-k", ONCE)),
        S3FD_EMULATOR_ORDER=order,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_emulated_kernels_stand_in_for_those_of_the_cpu(emulated_python):
    done = emulated_python(
        "-c", "from s3fd import ops, _extension; print(_extension.build_info()['cuda'])"
    )
    assert done.stdout.strip() == "EMULATED", done.stderr
