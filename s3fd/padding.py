"""To which sizes images are padded: the rule of detectors and of the files that they become."""

import math

PADDING_STEPS = ((512, 32), (1024, 64), (math.inf, 128))
"""Up to which length a side is padded to a multiple of what.

Finer steps pad less, and make more sizes, each of which costs its first image some milliseconds.
"""


def padded_length(length: int) -> int:
    """The padded length of a side: a multiple of 32, in coarser steps the longer it is.

    It must depend on nothing else, since a network sees the end of its image: features beside
    padding differ from features at a border.
    """
    step = next(step for longest, step in PADDING_STEPS if length <= longest)
    return math.ceil(length / step) * step
