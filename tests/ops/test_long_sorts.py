"""On a GPU, lists around the length above which one list is sorted by CUB."""

import pytest
import torch
from long_lists import MOST_RANKED, long_calls
from operator_calls import assert_same

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("size", [MOST_RANKED, MOST_RANKED + 1, 100_000])
@pytest.mark.parametrize("name", long_calls(4))
def test_both_ways_of_sorting_answer_as_the_cpu_does(name: str, size: int) -> None:
    assert_same(long_calls(size, "cuda")[name](), long_calls(size)[name]())


@pytest.mark.parametrize("size", [MOST_RANKED, MOST_RANKED + 1])
def test_both_ways_of_sorting_are_replayed(size: int) -> None:
    call = long_calls(size, "cuda")["nms of half, padded"]
    call()  # what is loaded at a first call is no part of a graph
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answers = call()
    for answer in answers:
        answer.fill_(7)
    graph.replay()
    assert_same(answers, long_calls(size)["nms of half, padded"]())
