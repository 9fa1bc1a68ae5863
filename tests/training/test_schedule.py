from itertools import pairwise

import torch
from torch import nn

from s3fd.training.schedule import learning_rate_factor, update_average


def test_the_learning_rate_rises_to_one_and_falls_towards_zero():
    factors = [learning_rate_factor(step, warmup=10, steps=100) for step in range(100)]
    assert factors[0] == 0.1
    assert max(factors) == factors[9] == factors[10] == 1.0
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001


def test_a_run_without_warm_up_starts_at_the_peak():
    assert learning_rate_factor(0, warmup=0, steps=5) == 1.0


def test_the_average_follows_the_weights_and_the_running_statistics():
    model, average = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    model.weight.data.fill_(3.0)
    model.running_mean.fill_(5.0)
    model.num_batches_tracked.fill_(7)
    for step in range(200):
        update_average(average, model, step=step, decay=0.9)
    torch.testing.assert_close(average.weight, model.weight)
    torch.testing.assert_close(average.running_mean, model.running_mean)
    assert average.num_batches_tracked == 7


def test_the_average_forgets_its_start_quickly():
    model, average = nn.Linear(1, 1), nn.Linear(1, 1)
    model.weight.data.fill_(1.0)
    average.weight.data.fill_(0.0)
    update_average(average, model, step=0, decay=0.999)
    assert average.weight.item() > 0.89
