"""What a release says of itself in several places is the same in all of them."""

import re
from pathlib import Path

import s3fd

ROOT = Path(__file__).parents[1]


def test_all_files_of_a_release_name_the_same_version():
    files = {"CITATION.cff": r"^version: (.+)$", "conda/recipe.yaml": r'^  version: "(.+)"$'}
    for name, pattern in files.items():
        found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert found is not None, name
        assert found[1] == s3fd.__version__, name
