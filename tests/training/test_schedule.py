from itertools import pairwise

from s3fd.training.schedule import cosine, staircase


def test_the_learning_rate_rises_to_one_and_falls_towards_zero():
    factors = [cosine(step, warmup=10, steps=100) for step in range(100)]
    assert factors[0] == 0.1
    assert max(factors) == factors[9] == factors[10] == 1.0
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001


def test_a_run_without_warm_up_starts_at_the_peak():
    assert cosine(0, warmup=0, steps=5) == 1.0
    assert staircase(0, warmup=0, milestones=(3,), factor=0.1) == 1.0


def test_a_staircase_falls_at_its_milestones_alone():
    factors = [staircase(step, warmup=2, milestones=(4, 6), factor=0.5) for step in range(8)]
    assert factors == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
