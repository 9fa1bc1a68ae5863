"""On which inputs, and in which emulator, CUDA kernels are compared with those for the CPU.

tests/cuda_emulator/answers.py makes the comparison.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """``size``, ``dtype``, ``place``: of OperatorCalls. ``order``: of the emulator's threads."""

    size: int
    place: str = "as it is"
    dtype: str = "float32"
    watched: bool = True
    order: str = "random:1"
    many_images: bool = False
    turns: bool = False  # of that size is what threads of a block take in several turns


CHECKS = {
    "watched": Check(300),
    "watched in another order": Check(700, order="random:2"),
    "shifted": Check(100, "shifted"),
    "channels_last": Check(300, "in_channels_last"),
    "float64": Check(100, dtype="float64"),
    "bfloat16": Check(100, "shifted", dtype="bfloat16"),
    "far": Check(60, "far", watched=False),
    "far by the second dimension": Check(60, "far_by_second", watched=False),
    "turns": Check(1100, turns=True),
    "many images": Check(65_540, watched=False, many_images=True),
    "1023": Check(1023, watched=False),
    "4097": Check(4097, "in_channels_last", watched=False),
    "9000": Check(9000, watched=False, order="random:3"),
}
