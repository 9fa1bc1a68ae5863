import torch
from torch import nn

from s3fd.training.ema import update_average


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


def test_without_decay_the_average_is_the_model():
    model, average = nn.Linear(3, 3), nn.Linear(3, 3)
    update_average(average, model, step=1000, decay=0.0)
    assert torch.equal(average.weight, model.weight)
