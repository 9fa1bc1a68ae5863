"""Calls every operator on the GPU once, for tools that watch it: ``python smoke.py [SIZE]``."""

import sys

import torch
from operator_calls import OperatorCalls


def main(size: int = 1500) -> None:
    for name, call in OperatorCalls(size, place=lambda tensor: tensor.cuda()).calls.items():
        call()
        torch.cuda.synchronize()
        print(name, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
