from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from s3fd.settings import Range, check_settings


@dataclass
class Settings:
    share: Annotated[float, Range(0, 1, below_high=True)] = 0.0
    count: Annotated[int, Range(1)] | None = None
    factor: Annotated[float, Range(0, above_low=True)] = 1.0
    kind: Literal["a", "b"] = "a"


def test_settings_within_their_ranges_and_none_are_taken():
    check_settings(Settings())
    check_settings(Settings(share=0.999, count=1, factor=1e-9, kind="b"))
    check_settings(Settings(share=np.float32(0.5), count=np.int64(3), factor=2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 1.0}, r"share: expected 0 <= share < 1, got 1\.0"),
        ({"share": float("nan")}, "share: expected"),
        ({"count": 0}, "count: expected count >= 1, got 0"),
        ({"factor": 0.0}, "factor: expected factor > 0"),
        ({"count": 1.5}, "count: expected a whole number, count >= 1, got 1.5"),
        ({"share": "0.5"}, "share: expected 0 <= share < 1, got '0.5'"),
        ({"share": None}, "share: expected 0 <= share < 1, got None"),
        ({"count": True}, "count: expected a whole number, count >= 1, got True"),
        ({"factor": True}, "factor: expected factor > 0, got True"),
        ({"kind": None}, "kind: expected 'a' or 'b', got None"),
        ({"kind": "c"}, r"kind: expected 'a' or 'b', got 'c'"),
    ],
)
def test_others_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        check_settings(Settings(**wrong))
