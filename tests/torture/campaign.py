"""Runs cases in a process that may crash or hang, and counts what becomes of them."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from judge import REFUSED, RIGHT, Fault, kind, patient

# AddressSanitizer also warns of memory that it refuses, which torch makes an error of.
_NOISE = ("ERROR: AddressSanitizer", "runtime error:", "Traceback (most recent call last)")


@dataclass
class Tally:
    """What became of the cases of a campaign.

    Attributes:
        name: of the campaign.
        right: how many were answered rightly.
        refused: how many were refused in one clear line.
        faults: numbers of the cases by what went wrong.
        seconds: that it took.
        memory: most that a process of it held, in MiB.
        interrupted: whether it was left before its end.
    """

    name: str
    right: int = 0
    refused: int = 0
    faults: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0
    interrupted: bool = False

    def fault(self, case: int, what: str) -> None:
        self.faults.setdefault(what, []).append(case)

    @property
    def cases(self) -> int:
        return self.right + self.refused + sum(map(len, self.faults.values()))


def run_campaign(name: str, cases: range, *, seed: int) -> Tally:
    """Runs cases one after another; after a crash or a hang a new process goes on with the next."""
    tally, began = Tally(name), time.monotonic()
    limit = patient(import_module(name).SECONDS)
    following = cases.start
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-") as folder:
        try:
            while following < cases.stop:
                rest = range(following, cases.stop)
                following = _work_through(tally, rest, limit, seed, Path(folder))
        except KeyboardInterrupt:  # what is done counts
            tally.interrupted = True
    tally.seconds = time.monotonic() - began
    return tally


def _work_through(tally: Tally, cases: range, limit: float, seed: int, folder: Path) -> int:
    """Lets a process work until it is done, dies or hangs, and gives the next case."""
    command = [
        sys.executable,
        str(Path(__file__).parent),
        tally.name,
        "--worker",
        str(folder),
        "--seed",
        str(seed),
        "--cases",
        f"{cases.start}:{cases.stop}",
    ]
    with (folder / "stderr").open("w+b") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
        case = cases.start
        try:
            for event in _events(process, limit):
                case = event["case"]
                tally.memory = max(tally.memory, event["memory"])
                if event["outcome"] == RIGHT:
                    tally.right += 1
                elif event["outcome"] == REFUSED:
                    tally.refused += 1
                else:
                    tally.fault(case, event["outcome"])
                case += 1
        except TimeoutError:
            tally.fault(case, f"hung: no answer within {limit} s")
            return case + 1
        finally:
            process.kill()
            process.wait()
        stderr.seek(0)
        said = stderr.read().decode(errors="replace")
        if process.returncode == 1:
            raise SystemExit(f"{tally.name} can't go on:\n{said}")
        if case < cases.stop:
            tally.fault(case, f"crashed ({process.returncode}): {_last_words(said)}")
            return case + 1
        if any(noise in said for noise in _NOISE):
            tally.fault(case, f"said: {_last_words(said)}")
        return case


def _events(process: subprocess.Popen[bytes], limit: float) -> Iterator[dict]:
    """The lines of a process as they come.

    Raises:
        TimeoutError: none came within so many seconds, or thrice as many at its start.
    """
    assert process.stdout is not None
    descriptor, rest, allowed = process.stdout.fileno(), b"", 3 * limit
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(allowed):
            allowed = limit
            data = os.read(descriptor, 65536)
            if not data:
                process.wait()
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)
    raise TimeoutError


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if any(noise in line for noise in (*_NOISE, "Error"))]
    return (telling or lines or ["without a word"])[-1][:200]


def work(name: str, cases: range, *, seed: int, folder: Path) -> None:
    """The process that is worked in: prints a line for each case that is done."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else prints is no line
    case = import_module(name).prepare(folder, seed)
    for index in cases:
        try:
            outcome = case(index)
        except Fault as fault:
            outcome = str(fault)
        except Exception as error:
            outcome = f"raised {kind(error)}"
        out.write(json.dumps({"case": index, "outcome": outcome, "memory": _memory()}) + "\n")
        out.flush()
    os._exit(0)


def _memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run_here(name: str, index: int, *, seed: int) -> None:
    """One case again, in this process, with all that there is to know of it."""
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-") as folder:
        case = import_module(name).prepare(Path(folder), seed)
        try:
            print(case(index))
        except Exception:
            traceback.print_exc()
        kept = Path(tempfile.mkdtemp(prefix=f"torture-{name}-{index}-"))
        for file in Path(folder).iterdir():
            file.replace(kept / file.name)
        print(f"its files: {kept}")


def table(tallies: list[Tally]) -> str:
    """The figures, and each fault with its first cases."""
    rows = [("campaign", "cases", "right", "refused", "faults", "seconds", "MiB")]
    for tally in tallies:
        faults = tally.cases - tally.right - tally.refused
        rows.append(
            (
                tally.name,
                *map(
                    str,
                    (
                        tally.cases,
                        tally.right,
                        tally.refused,
                        faults,
                        round(tally.seconds),
                        tally.memory,
                    ),
                ),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    for tally in tallies:
        for what, cases in Counter({w: len(c) for w, c in tally.faults.items()}).most_common():
            first = ", ".join(map(str, tally.faults[what][:3]))
            lines.append(f"{tally.name}: {cases} x {what} (cases {first})")
    return "\n".join(lines)
