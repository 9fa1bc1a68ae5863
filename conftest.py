"""Which modules have examples that can't run here, and which are none of pytest's."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("pyarrow") else ["s3fd/ray.py"]
collect_ignore_glob = ["tests/torture/*"]
