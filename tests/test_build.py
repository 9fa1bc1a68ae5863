"""The compiled libraries: what they need, what they register, and how a failure to load reads."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import s3fd
import s3fd.ops
from s3fd import _extension

LIBRARY = _extension.library_path("_C")
SCHEMA = Path(__file__).parents[1] / "csrc/schema.cpp"
OPERATORS = re.findall(r'"(\w+)\(', SCHEMA.read_text())

needs_binutils = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("readelf") or not shutil.which("nm"),
    reason="reads ELF files with readelf and nm",
)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` in a fresh interpreter that finds the same s3fd."""
    path = os.pathsep.join([str(Path(s3fd.__file__).parents[1]), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tempfile.gettempdir(),  # a source folder there would be found first
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run_with_library(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` where the compiled library is expected at ``path``."""
    expect = (
        "import pathlib, s3fd._extension as extension\n"
        f"extension.library_path = lambda name: pathlib.Path({str(path)!r})\n"
    )
    return run_python(expect + code)


def import_with_library(path: Path, code: str = "from s3fd.ops import nms") -> str:
    """The last words of a program that wants an operator, whose library is expected at ``path``."""
    result = run_with_library(path, code)
    assert result.returncode == 1
    return result.stderr


@pytest.mark.parametrize(
    "code", ["from s3fd.ops import nms", "import s3fd; s3fd.ops.AnchorGrid", "import s3fd.ops.nms"]
)
def test_a_missing_library_is_an_import_error_that_names_file_and_remedy(
    tmp_path: Path, code: str
) -> None:
    text = import_with_library(tmp_path / "_C.so", f"import s3fd.ops\n{code}")
    assert "ImportError" in text
    assert f"{tmp_path / '_C.so'} does not exist" in text
    assert "pip install ." in text


def test_an_unloadable_library_is_an_import_error_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "_C.so"
    path.write_text("This is no library.\n" * 100)
    text = import_with_library(path)
    assert "ImportError" in text
    assert str(path) in text
    assert re.search(r"Why: .+", text)
    assert f"this is {torch.__version__}" in text
    assert "pip install --force-reinstall" in text


def test_the_twins_work_without_the_library(tmp_path: Path) -> None:
    code = (
        "import sys, s3fd.ops.reference as reference, s3fd.ops.grid as grid\n"
        "print(reference.anchors(grid.GridDescription.s3fd(), [(1, 2)] * 6).shape[0])\n"
        "print('s3fd.ops._registration' in sys.modules)\n"
    )
    result = run_with_library(tmp_path / "_C.so", code)
    assert result.stdout == "12\nFalse\n", result.stderr


def test_without_the_library_an_unknown_name_of_the_operators_is_an_attribute_error(
    tmp_path: Path,
) -> None:
    text = import_with_library(tmp_path / "_C.so", "import s3fd.ops; s3fd.ops.no_such_operator")
    assert "AttributeError: module 's3fd.ops' has no attribute 'no_such_operator'" in text


def test_importing_the_package_loads_neither_torch_nor_operators() -> None:
    result = run_python("import s3fd, sys; print({'torch', 's3fd.ops'} & set(sys.modules))")
    assert result.stdout == "set()\n", result.stderr


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchThing'"):
        s3fd.NoSuchThing  # noqa: B018


def test_build_info_says_what_the_library_was_compiled_with() -> None:
    info = _extension.build_info()
    assert set(info) == {"torch", "compiler", "cuda", "nvcc", "cuda_detail"}
    assert re.match(r"\d+\.\d+", info["torch"])
    assert info["cuda"] in ("ON", "OFF")
    assert re.fullmatch(r"\d+\.\d+\.\d+" if info["cuda"] == "ON" else "", info["nvcc"])
    assert info["cuda_detail"]


@pytest.mark.parametrize(
    ("torch_cuda", "nvcc", "reason"),
    [
        (None, "13.0.88", "is a build without CUDA"),
        ("12.6", "13.0.88", "built for CUDA 13.0.88, and this torch has CUDA 12.6"),
        ("13.0", "", r"not built \(no GPU was found\)"),
        ("13.1", "13.0.88", None),
    ],
)
def test_cuda_kernels_serve_a_torch_of_their_own_cuda_version(
    monkeypatch, tmp_path, torch_cuda, nvcc, reason
) -> None:
    library = tmp_path / "_C_cuda.so"
    if nvcc:
        library.touch()
    info = {"nvcc": nvcc, "cuda_detail": "90-real" if nvcc else "no GPU was found"}
    monkeypatch.setattr(torch.version, "cuda", torch_cuda)
    monkeypatch.setattr(_extension, "library_path", lambda name: library)
    monkeypatch.setattr(_extension, "_read_build_info", lambda: info)
    found = _extension.no_cuda_reason()
    assert found is None if reason is None else re.search(reason, found)


def kernel_of(operator: str, device: str) -> str:
    """Where what ``operator`` runs on ``device`` was registered."""
    return str(torch.library.get_kernel(f"s3fd::{operator}", device))


def test_every_operator_has_a_cpu_kernel_and_a_fake_kernel() -> None:
    assert "max_out_background" in OPERATORS
    for operator in OPERATORS:
        assert "csrc/cpu" in kernel_of(operator, "CPU"), operator
        assert kernel_of(operator, "Meta") != kernel_of(operator, "MPS"), operator


@pytest.mark.skipif(_extension.has_cuda_kernels(), reason="has the CUDA kernels")
def test_without_cuda_kernels_a_cuda_tensor_is_an_error_that_says_what_to_do() -> None:
    cuda = torch.DispatchKeySet(torch.DispatchKey.CUDA)
    operator = torch.ops.s3fd.max_out_background.default
    with pytest.raises(RuntimeError, match=r"has no CUDA kernels.*CUDACXX.*s3fd\.ops\.reference"):
        operator.redispatch(cuda, torch.zeros(1, 4, 2, 2))


@pytest.mark.skipif(not _extension.has_cuda_kernels(), reason="built without CUDA kernels")
def test_with_cuda_kernels_every_operator_has_one() -> None:
    for operator in OPERATORS:
        assert "csrc/cuda" in kernel_of(operator, "CUDA"), operator


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_operator_on_a_cuda_device_that_is_not_there_says_so() -> None:
    grid = s3fd.ops.AnchorGrid.s3fd()
    with pytest.raises((RuntimeError, AssertionError), match=r"NVIDIA|not compiled with CUDA"):
        grid.anchors(grid.feature_sizes((64, 64)), device="cuda")


def test_every_public_operator_is_a_function_and_has_a_twin() -> None:
    for name in set(s3fd.ops.__all__) - {"AnchorGrid"}:
        assert callable(getattr(s3fd.ops, name)), name
        assert callable(getattr(s3fd.ops.reference, name)), name


@needs_binutils
def test_the_library_needs_nothing_of_torch_but_one_library_and_stores_no_path() -> None:
    dynamic = subprocess.check_output(["readelf", "-d", "-W", LIBRARY], text=True)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    system = {"libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6"}
    loader = {name for name in needed if name.startswith("ld-linux")}
    assert needed - system - loader == {"libtorch_cpu.so"}
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic


@needs_binutils
def test_the_library_calls_torch_through_its_stable_c_interface_alone() -> None:
    undefined = subprocess.check_output(["nm", "-D", "--undefined-only", LIBRARY], text=True)
    names = [line.split()[-1] for line in undefined.splitlines()]
    unversioned = [name for name in names if "@" not in name and not name.startswith("_")]
    assert unversioned
    assert [n for n in unversioned if not n.startswith(("aoti_torch_", "torch_"))] == []
    assert [n for n in names if re.search(r"^_Z.*(3c10|2at|5torch)", n)] == []


@needs_binutils
def test_the_library_exports_nothing_but_its_build_info() -> None:
    exported = subprocess.check_output(["nm", "-D", "--defined-only", LIBRARY], text=True)
    functions = [line.split()[-1] for line in exported.splitlines() if " T " in line]
    assert functions == ["s3fd_build_info"]


def test_the_functions_of_arrays_load_without_torch() -> None:
    code = "import sys; import s3fd._arrays; print('torch' in sys.modules)"
    result = run_python(code)
    assert result.stdout == "False\n", result.stderr
