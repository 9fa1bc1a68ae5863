import numpy as np
import pytest
import torch

from s3fd.analysis import RULES, MatchingRule, count_matched_anchors, read_faces
from s3fd.ops import AnchorGrid

AUTHORS = MatchingRule("both, N = 6", top_n=6)


def random_faces(images, side, seed=1):
    random = torch.Generator().manual_seed(seed)
    for faces in range(images):
        sides = 2 ** (1 + 7 * torch.rand(faces, 1, generator=random)) * torch.tensor([0.9, 1.1])
        corner = torch.rand(faces, 2, generator=random) * side
        yield torch.cat([corner - sides / 2, corner + sides / 2], dim=1)


@pytest.mark.parametrize("rule", [*RULES, AUTHORS], ids=lambda rule: rule.name)
def test_counts_are_those_of_a_brute_force_matching(rule, brute_force):
    boxes = list(random_faces(images=12, side=256))
    counted = count_matched_anchors(boxes, (256, 256), rules=[rule])
    expected = [brute_force(image.numpy(), rule, 256) for image in boxes]
    assert counted.counts[rule.name].tolist() == np.concatenate(expected).tolist()


@pytest.mark.parametrize("rule", [*RULES, AUTHORS], ids=lambda rule: rule.name)
def test_counts_of_real_faces_are_those_of_a_brute_force_matching(rule, brute_force, shared):
    images = read_faces(shared / "wider_face_val" / "wider_face_val_bbx_gt.txt")[::100]
    boxes = [image.fitted(640) for image in images]
    boxes = [b[(b[:, 2:] > b[:, :2]).all(dim=1)] for b in boxes]
    counted = count_matched_anchors(boxes, rules=[rule])
    expected = [brute_force(image.numpy(), rule, 640) for image in boxes]
    assert counted.counts[rule.name].tolist() == np.concatenate(expected).tolist()
    assert len(counted.scales) > 300


def test_the_three_rules_are_those_of_the_paper():
    ssd, stage_one, both = RULES
    assert (ssd.positive_iou, ssd.top_n, ssd.keep_best) == (0.5, 0, True)
    assert (stage_one.positive_iou, stage_one.top_n, stage_one.keep_best) == (0.35, 0, True)
    assert (both.positive_iou, both.candidate_iou, both.top_n) == (0.35, 0.1, None)


def test_each_stage_gives_faces_more_anchors_and_takes_none():
    counts = list(count_matched_anchors(list(random_faces(20, 640))).counts.values())
    assert counts[0].mean() < counts[1].mean() < counts[2].mean()
    assert (counts[2] >= counts[1]).all()


def test_scales_are_square_roots_of_areas_and_degenerate_boxes_are_left_out():
    boxes = torch.tensor([[0, 0, 10, 40], [5, 5, 5, 9], [0, 0, float("nan"), 9], [9, 9, 3, 30]])
    counted = count_matched_anchors([boxes, torch.empty(0, 4)])
    assert counted.scales.tolist() == [20]
    assert (counted.images, counted.degenerate) == (2, 3)


def test_bins_hold_every_face_once_with_anchors_in_the_middle():
    counted = count_matched_anchors(list(random_faces(20, 640)))
    for per_octave in (1, 2, 3, 8):
        bins = counted.bins(per_octave)
        assert sum(b.faces for b in bins) == len(counted.scales)
        assert [b.high for b in bins[:-1]] == pytest.approx([b.low for b in bins[1:]])
        middles = [(b.low * b.high) ** 0.5 for b in bins]
        assert any(middle == pytest.approx(32) for middle in middles)
        for b in bins:
            inside = (counted.scales >= b.low) & (counted.scales < b.high)
            assert inside.sum() == b.faces
            if b.faces:
                expected = counted.counts["SSD"][inside].mean()
                assert b.mean["SSD"] == pytest.approx(expected)
            else:
                assert np.isnan(b.mean["SSD"])


def test_no_faces_give_no_bins():
    counted = count_matched_anchors([torch.empty(0, 4)])
    assert len(counted.scales) == 0
    assert counted.bins() == []
    assert count_matched_anchors([]).images == 0


def test_other_grids_have_their_own_anchors():
    grid = AnchorGrid(strides=(16,), sizes=((32, (32, 64)),))
    faces = [torch.tensor([[8.0, 8.0, 40.0, 40.0], [64.0, 48.0, 96.0, 112.0]])]
    counted = count_matched_anchors(faces, (128, 128), grid=grid, rules=[MatchingRule("all")])
    assert (counted.counts["all"] > 0).all()
    assert counted.bins(1)[0].low == pytest.approx(32 / 2**0.5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="rules: expected different names"):
        count_matched_anchors([], rules=[MatchingRule("a"), MatchingRule("a")])
    with pytest.raises(ValueError, match="per_octave: expected at least 1"):
        count_matched_anchors([]).bins(0)
