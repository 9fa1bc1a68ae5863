"""Files of MATLAB for tests, where the libraries that write them are installed."""

from pathlib import Path
from typing import Any

import pytest

REASON = "writes a file of MATLAB, with the extra `eval`"


def savemat(file: Path, variables: dict[str, Any]) -> None:
    """Version 5."""
    pytest.importorskip("scipy.io", reason=REASON).savemat(file, variables)


def open_hdf5(file: Path) -> Any:
    """Version 7.3: HDF5 behind a block of 512 bytes, which is left empty."""
    h5py = pytest.importorskip("h5py", reason=REASON)
    return h5py.File(file, "w", userblock_size=512)
