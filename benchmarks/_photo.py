"""The photo that comes with the package."""

from __future__ import annotations

from pathlib import Path

import s3fd

PHOTO = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"
