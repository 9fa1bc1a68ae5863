import os
from pathlib import Path

import pytest


@pytest.fixture
def shared():
    """The folder of real data, which is no part of the project."""
    folder = Path(os.environ.get("S3FD_SHARED", Path(__file__).parents[3] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data here: S3FD_SHARED would name the folder, {folder} isn't there")
    return folder
