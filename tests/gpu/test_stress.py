"""All operators on a GPU, at sizes that use many blocks, answer as on the CPU."""

import functools

import pytest
import torch
from operator_calls import OperatorCalls, assert_same, in_channels_last, shifted
from torch import Tensor

NAMES = list(OperatorCalls(4).calls)
SIZES = (1023, 4097, 9000, 200_000)


def on_gpu(tensor: Tensor) -> Tensor:
    return tensor.cuda()


@functools.lru_cache(maxsize=2)
def calls_of_both(size: int, dtype: torch.dtype = torch.float32) -> tuple[OperatorCalls, ...]:
    return OperatorCalls(size, dtype=dtype), OperatorCalls(size, dtype=dtype, place=on_gpu)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_operators_answer_as_on_the_cpu(size: int, name: str) -> None:
    on_cpu, on_cuda = calls_of_both(size)
    assert_same(on_cuda.calls[name](), on_cpu.calls[name]())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_other_dtypes_answer_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    on_cpu, on_cuda = calls_of_both(1023, dtype)
    assert_same(on_cuda.calls[name](), on_cpu.calls[name]())


@pytest.mark.parametrize("place", [shifted, in_channels_last])
def test_inputs_may_lie_anywhere(place) -> None:
    on_cpu = OperatorCalls(4097).calls
    on_cuda = OperatorCalls(4097, place=lambda tensor: place(tensor.cuda())).calls
    for name, call in on_cuda.items():
        assert_same(call(), on_cpu[name]())


@pytest.mark.parametrize("name", NAMES)
def test_two_hundred_calls_give_the_same_bits(name: str) -> None:
    call = calls_of_both(4097)[1].calls[name]
    first = call()
    for _ in range(200):
        assert all(map(torch.equal, call(), first))


@pytest.mark.parametrize("name", NAMES)
def test_two_streams_do_not_disturb_each_other(name: str) -> None:
    calls = [OperatorCalls(4097, seed=seed, place=on_gpu).calls[name] for seed in range(2)]
    expected = [call() for call in calls]
    streams = [torch.cuda.Stream() for _ in calls]
    torch.cuda.synchronize()
    answers = []
    for _ in range(10):
        for call, stream in zip(calls, streams, strict=True):
            with torch.cuda.stream(stream):
                answers.append(call())
    torch.cuda.synchronize()
    for i, answer in enumerate(answers):
        assert all(map(torch.equal, answer, expected[i % 2]))


@pytest.mark.parametrize("name", NAMES)
def test_operators_run_where_their_tensors_are(name: str) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    second = OperatorCalls(1023, place=lambda tensor: tensor.to("cuda:1")).calls[name]
    answers = second()
    assert torch.cuda.current_device() == 0
    assert {answer.device.index for answer in answers} == {1}
    assert_same(answers, calls_of_both(1023)[0].calls[name]())
