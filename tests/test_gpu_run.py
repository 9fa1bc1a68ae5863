"""What tests/gpu/run does wherever it is run: on a machine without a GPU, too."""

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def script():
    loader = SourceFileLoader("gpu_run", str(TESTS / "gpu" / "run"))
    module = module_from_spec(spec_from_loader("gpu_run", loader))
    sys.modules["gpu_run"] = module  # where its dataclasses look for their own types
    loader.exec_module(module)
    return module


def python(code):
    return [sys.executable, "-c", code]


def test_every_step_runs_whatever_failed_before(script, tmp_path):
    machine = script.Machine(Path(sys.executable), tmp_path, TESTS.parent)
    steps = [
        script.Step("wrong", python("print('why'); raise SystemExit(3)"), 60),
        script.Step("missing", ["no such program"], 60),
        script.Step("slow", python("import time; print('begun', flush=True); time.sleep(60)"), 1),
        script.Step("right", python("import os; print(os.environ['ASKED'])"), 60, {"ASKED": "yes"}),
    ]
    outcomes = [machine.run(step, 99) for step in steps]
    assert [o.result for o in outcomes] == ["failed", "failed", "stopped", "passed"]
    assert outcomes[0].said == "why"
    assert outcomes[3].said == "yes"
    script.write_summary(tmp_path, machine.found(), outcomes)
    assert len((tmp_path / "summary.md").read_text().splitlines()) == 8
    assert [o["step"] for o in json.loads((tmp_path / "summary.json").read_text())] == [
        step.name for step in steps
    ]


def test_no_step_begins_when_the_time_is_over(script, tmp_path):
    machine = script.Machine(Path(sys.executable), tmp_path, TESTS.parent)
    (tmp_path / "late.log").write_text("of an earlier run")
    assert machine.run(script.Step("late", python("1 / 0"), 60), 0).result == "left out"
    assert not (tmp_path / "late.log").exists()


def test_the_summary_begins_with_the_devices_or_that_there_are_none(script, tmp_path):
    machine = script.Machine(tmp_path / "no python", tmp_path, TESTS.parent)
    assert machine.found().startswith("**No CUDA device was found")
    machine.devices = [("90", "NVIDIA H100"), ("90", "NVIDIA H100")]
    assert machine.found() == "Devices: NVIDIA H100, NVIDIA H100."
    script.write_summary(tmp_path, machine.found(), [])
    assert (tmp_path / "summary.md").read_text().startswith("Devices: NVIDIA H100")


def test_nothing_that_an_earlier_run_has_built_is_packaged(script, tmp_path):
    machine = script.Machine(Path(sys.executable), tmp_path, None)
    stale = tmp_path / "package" / "s3fd" / "_C_cuda.so"
    stale.parent.mkdir(parents=True)
    stale.touch()
    sources = next(step for step in machine.steps() if step.name == "sources")
    assert machine.run(sources, 99).result == "passed"
    assert (stale.parent / "ops" / "__init__.py").exists()
    assert not stale.exists()


def test_every_file_that_a_step_names_is_there(script, tmp_path):
    for step in script.Machine(Path(sys.executable), tmp_path, TESTS.parent).steps():
        named = [part for part in map(Path, step.command) if part.is_relative_to(TESTS.parent)]
        assert all(path.exists() for path in named), step.name


def test_what_a_gpu_is_tested_with_is_collected_on_a_bare_machine():
    options = ["-p", "bare", "-p", "no:cacheprovider", "--collect-only", "-q", "-m", "cuda"]
    folders = [str(TESTS / "gpu"), str(TESTS / "helpers")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/ops", "tests/gpu"],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
