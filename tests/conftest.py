"""What all tests share."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# The first call of an operator, or a busy machine, makes single examples slow.
settings.register_profile("s3fd", deadline=None)
settings.load_profile("s3fd")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """A file that skips itself for lack of a library, and shouldn't, is a failure."""
    return _without_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """So is a test."""
    return _without_skips((yield))


def _without_skips(report):
    if report.skipped and os.environ.get("S3FD_NO_SKIPS") == "1":
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def shared():
    """The folder of real data, which is no part of the project."""
    folder = Path(os.environ.get("S3FD_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data here: S3FD_SHARED would name the folder, {folder} isn't there")
    return folder


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self):
        return self.stdout + self.stderr


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs ``s3fd`` with arguments, as a user does; in a wide terminal if not told otherwise."""
    from s3fd.cli import main

    def run(*arguments, columns=200):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as finished:
            main([str(argument) for argument in arguments])
        return Finished(finished.value.code or 0, *capsys.readouterr())

    return run
