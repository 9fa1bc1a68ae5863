"""Lays out the site as the repository is, so that a link means the same in both."""

import logging
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import docstrings
import gallery

ROOT = Path(__file__).parents[2]
_LOG = logging.getLogger("mkdocs.hooks")
PAGES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"),
    *("s3fd/weights/light.md", "s3fd/assets/README.md", "tests/cuda_emulator/README.md"),
)
# Copied as they are: links to them download.
DOWNLOADS = ("s3fd/weights/light-log.jsonl",)
SOURCES = ("LICENSE", "configs/*.toml", "examples/*.py", "tests/helpers/*.py", "benchmarks/*.py")
_IMPORT = re.compile(r"^from (s3fd[\w.]*) import ", re.MULTILINE)
_LINK_TO_SOURCE = re.compile(r"(\]\([^):#]*(?:LICENSE|\.toml|\.py))\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    found = []
    for file in files:
        if file.src_dir != config.docs_dir:  # the theme's
            found.append(file)
        elif not file.src_uri.startswith("site/"):
            name = f"docs/{file.src_uri}"
            found.append(File.generated(config, name, abs_src_path=file.abs_src_path))
    found += [
        File.generated(config, page, abs_src_path=str(ROOT / page)) for page in (*PAGES, *DOWNLOADS)
    ]
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            found.append(File.generated(config, f"{name}.md", content=_page(name, path)))
    for name, content in gallery.files():
        found.append(File.generated(config, f"docs/{name}", content=content))
    return Files(found)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Files that are no pages are shown on one; what pages import has a place in the reference."""
    if not page.file.src_uri.endswith(".py.md"):
        for module in sorted(set(_IMPORT.findall(markdown)) - set(docstrings.MODULES)):
            _LOG.warning("docs/reference lacks %s, of which %s imports", module, page.file.src_uri)
    return _LINK_TO_SOURCE.sub(r"\1.md)", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Warns of public names that have no place in the reference: for --strict an error."""
    pages = Path(config.site_dir, "docs", "reference").rglob("*.html")
    text = "".join(page.read_text() for page in pages)
    for path in docstrings.PATHS.values():
        if f'id="{path}"' not in text and path != "s3fd.__version__":
            _LOG.warning("docs/reference lacks %s", path)


def _page(name: str, path: Path) -> str:
    language = path.suffix.removeprefix(".") or "text"
    return f"# `{name}`\n\n```{language}\n{path.read_text()}```\n"
