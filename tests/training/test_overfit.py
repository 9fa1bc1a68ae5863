"""A network that can't learn a few photos by heart can't learn at all."""

import json


def test_a_few_photos_are_learned_by_heart(run, data, tmp_path):
    run(
        "train", "--config", "overfit", "--data", data, "--out", tmp_path, "--steps", 200,
        "--input-size", 96, "--workers", 0, "--device", "cpu", "--precision", "float32",
        "--set", "augmentation.scales=[1.0]", "--set", "augmentation.scale_shares=[1.0]",
    )  # fmt: skip
    weights, figures = tmp_path / "model.safetensors", tmp_path / "figures.json"
    run(
        "evaluate", "annotations", "--data", data, "--split", "train", "--model", weights,
        "--json", figures,
    )  # fmt: skip
    found = json.loads(figures.read_text())
    assert found["photos"] == 12
    assert found["average_precision"] > 0.95
