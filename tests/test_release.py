"""What a release says of itself in several places is the same in all of them."""

import re
from importlib.metadata import requires
from pathlib import Path

import yaml

import s3fd

ROOT = Path(__file__).parents[1]


def test_all_files_of_a_release_name_the_same_version():
    files = {"CITATION.cff": r"^version: (.+)$", "conda/recipe.yaml": r'^  version: "(.+)"$'}
    for name, pattern in files.items():
        found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert found is not None, name
        assert found[1] == s3fd.__version__, name


def test_conda_brings_what_pip_brings():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    brought = {re.split("[ >]", line)[0] for line in recipe["requirements"]["run"]} - {"python"}
    needed = {re.match(r"[\w-]+", line)[0] for line in requires("s3fd") if "extra ==" not in line}
    assert brought == needed - {"torch"} | {"pytorch"}
