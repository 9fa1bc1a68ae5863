"""One case: do the answers agree, how long does each take, how much memory?"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from benchmarks._case import Case, DisagreementError, Function
from benchmarks._measure import Call, peak_extra_bytes, time_alternating

TWIN, COMPILED, TORCHVISION, OURS = "twin", "compiled", "torchvision", "ours"


@dataclass
class Outcome:
    """What was measured of a case; a contender that is not in ``seconds`` is in ``missing``."""

    case: Case
    limit: float  # seconds that moving the bytes takes
    seconds: dict[str, float] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int | None] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def ratio(self, contender: str) -> float | None:
        """How many times as long as ours a contender takes."""
        if contender not in self.seconds:
            return None
        return self.seconds[contender] / self.seconds[OURS]

    @property
    def percent_of_limit(self) -> float:
        """100 if ours takes no longer than moving its bytes does."""
        return 100 * self.limit / self.seconds[OURS]

    def record(self) -> dict[str, Any]:
        """For ``--json``."""
        case = self.case
        return {
            "operator": case.operator,
            "series": case.series,
            "case": case.name,
            "size": case.size,
            "unit": case.unit,
            "milliseconds": {name: 1e3 * value for name, value in self.seconds.items()},
            "repeats": self.repeats,
            "twin_over_ours": self.ratio(TWIN),
            "compiled_over_ours": self.ratio(COMPILED),
            "torchvision_over_ours": self.ratio(TORCHVISION),
            "peak_extra_bytes": self.memory,
            "bytes_moved": case.bytes_moved,
            "limit_milliseconds": 1e3 * self.limit,
            "percent_of_limit": self.percent_of_limit,
            "missing": self.missing,
        }


def compare(
    case: Case, device: torch.device, bandwidth: float, budget: float, *, compiled: bool
) -> Outcome:
    """Checks, then times a case.

    Args:
        case: what to compare.
        device: where its arguments are.
        bandwidth: bytes a second that the machine copies.
        budget: seconds for timing; slow implementations get few repeats.
        compiled: whether the twin is compiled too.

    Raises:
        DisagreementError: ours or torchvision's answer is not the twin's.
    """
    outcome = Outcome(case, case.bytes_moved / bandwidth)
    twin = _bind(case, case.twin)
    expected = twin()
    calls: dict[str, Call] = {TWIN: twin}
    if not compiled:
        outcome.missing[COMPILED] = "left out by --quick"
    elif case.not_compiled:
        outcome.missing[COMPILED] = case.not_compiled
    else:
        try:
            calls[COMPILED] = _compiled(case, expected)
        except Exception as error:  # whatever the compiler has met
            outcome.missing[COMPILED] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if case.torchvision is None:
        outcome.missing[TORCHVISION] = "has no such operator"
    else:
        try:
            operators = importlib.import_module("torchvision.ops")
        except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
            outcome.missing[TORCHVISION] = f"can't be imported: {error}"
        else:
            calls[TORCHVISION] = _bind(case, getattr(operators, case.torchvision))
            _check(case, TORCHVISION, expected, calls[TORCHVISION]())
    for name, prepare in case.peers.items():
        try:
            calls[name] = _peer(case, prepare, expected, device)
        except (ImportError, DisagreementError) as error:
            outcome.missing[name] = str(error).splitlines()[0]
    calls[OURS] = _bind(case, case.ours)
    _check(case, OURS, expected, calls[OURS]())
    del expected

    times = time_alternating(calls, device, budget)
    outcome.seconds = {name: median(values) for name, values in times.items()}
    outcome.repeats = {name: len(values) for name, values in times.items()}
    outcome.memory = {name: peak_extra_bytes(call, device) for name, call in calls.items()}
    return outcome


def _bind(case: Case, function: Function) -> Call:
    wrapped = case.around(function)
    return lambda: wrapped(*case.arguments)


def _compiled(case: Case, expected: Any) -> Call:
    torch.compiler.reset()  # or it would give up on a function that has seen many shapes
    call = _bind(case, torch.compile(case.twin, dynamic=False))
    _check(case, COMPILED, expected, call())
    return call


def _peer(case: Case, prepare: Function, expected: Any, device: torch.device) -> Call:
    """What runs another package, which gives a list or an array of the twin's integers."""
    if device.type != "cpu":
        raise ImportError("runs on CPUs alone")
    call: Call = prepare(*case.arguments)
    indices = torch.as_tensor([int(index) for index in call()])
    if not torch.equal(indices, expected):
        raise DisagreementError(f"its answer is another one ({case.name})")
    return call


def _check(case: Case, contender: str, expected: Any, actual: Any) -> None:
    try:
        case.agree(expected, actual)
    except AssertionError as error:
        raise DisagreementError(
            f"{case.title}: the answer of {contender} is not the twin's\n{error}"
        ) from error
