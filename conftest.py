"""Which modules have examples that can't run here."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("pyarrow") else ["s3fd/ray.py"]
