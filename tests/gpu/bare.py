"""A plugin of pytest that hides what a bare machine lacks (see tests/gpu/run), to try that out."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

LACKING = {
    *("av", "cyclopts", "docstring_parser", "h5py", "matplotlib", "pandas", "pillow_heif"),
    *("pillow_jxl", "rich", "scipy", "setuptools", "skimage", "tensorboard", "torchvision", "yaml"),
}


class Hider(MetaPathFinder):
    """Finds nothing of these, before others find it."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r} on a bare machine", name=name)


def pytest_configure() -> None:
    sys.meta_path.insert(0, Hider())
