import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from s3fd.data import Augmentation
from s3fd.evaluation import PrecisionRecall
from s3fd.evaluation.calibration import fit_calibration
from s3fd.models import S3FD, load_checkpoint, save_checkpoint
from s3fd.training import files, loop, run, train
from s3fd.training.distributed import Processes


def test_a_run_leaves_weights_that_load_and_a_checkpoint(make_config, tmp_path):
    file = train(make_config(tmp_path / "run"), progress=False)
    assert load_checkpoint(file).config.backbone == "light"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"model.safetensors", "last.pt", "log.jsonl"}


def test_the_loss_falls(make_config, tmp_path):
    config = make_config(tmp_path, steps=60, batch_size=8, warmup=10, checkpoint_every=60)
    train(config, progress=False)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [20, 40, 60]
    assert log[-1]["class_loss"] < 0.7 * log[0]["class_loss"]
    assert log[-1]["box_loss"] < log[0]["box_loss"]


def test_the_best_validation_is_kept(make_config, tmp_path, monkeypatch):
    given = iter([0.3, 0.5, 0.4])
    monkeypatch.setattr(
        "s3fd.training.loop.Validation.curve",
        lambda *arguments: SimpleNamespace(average_precision=next(given)),
    )
    train(make_config(tmp_path, validate_every=2), progress=False)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    validations = [entry for entry in log if "average_precision" in entry]
    assert [(entry["step"], entry["average_precision"]) for entry in validations] == [
        (2, 0.3), (4, 0.5), (6, 0.4),
    ]  # fmt: skip
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert (best["step"], best["best"]) == (4, {"average_precision": 0.5, "step": 4})
    weights = load_checkpoint(tmp_path / "best.safetensors").state_dict()
    assert all(torch.equal(best["average"][name], value) for name, value in weights.items())
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 6


def test_scores_are_calibrated_at_the_end(make_config, tmp_path, monkeypatch):
    scores = [0.9] * 10 + [0.1] * 10
    curve = PrecisionRecall.from_outcomes(scores, [True] * 6 + [False] * 14, faces=6)
    monkeypatch.setattr("s3fd.training.loop.Validation.curve", lambda *arguments: curve)
    config = make_config(tmp_path, validate_every=6, calibrate=True)
    calibrated = load_checkpoint(train(config, progress=False)).state_dict()
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    expected = fit_calibration(scores, [True] * 6 + [False] * 14)
    assert entry == {
        "step": 6, "shift": pytest.approx(expected.shift, rel=1e-4),
        "scale": pytest.approx(expected.scale, rel=1e-4),
    }  # fmt: skip
    kept = torch.load(tmp_path / "last.pt", weights_only=True)["average"]
    name = "head.logits.2.weight"
    torch.testing.assert_close(calibrated[name], kept[name] / expected.scale)
    assert torch.equal(calibrated["head.deltas.2.weight"], kept["head.deltas.2.weight"])


def test_scores_that_can_not_be_calibrated_are_left(make_config, tmp_path, monkeypatch, capsys):
    nothing = PrecisionRecall.from_outcomes([], [], faces=6)
    monkeypatch.setattr("s3fd.training.loop.Validation.curve", lambda *arguments: nothing)
    file = train(make_config(tmp_path, validate_every=6, calibrate=True))
    assert "scores are left as they are; found: expected" in capsys.readouterr().err
    kept = torch.load(tmp_path / "last.pt", weights_only=True)["average"]
    assert torch.equal(load_checkpoint(file).state_dict()["head.logits.2.weight"],
                       kept["head.logits.2.weight"])  # fmt: skip


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_config, weights, tmp_path):
    def run_with(name, **changes):
        return weights(train(make_config(tmp_path / name, steps=2, **changes), progress=False))

    first = run_with("a")
    assert first == run_with("b", workers=2)
    assert first != run_with("c", seed=2)


@pytest.mark.parametrize(("smallest", "expected"), [(64, torch.float32), (96, torch.bfloat16)])
def test_bfloat16_is_not_taken_where_it_reads_stray_memory(
    make_config, tmp_path, monkeypatch, smallest, expected
):
    monkeypatch.setattr("s3fd.training.precision.multiplies_in_bfloat16", lambda device: True)
    recipe = Augmentation(scales=(0.75, 1.0), scale_shares=(0.5, 0.5))
    size = round(smallest / 0.75 / 32) * 32
    config = make_config(tmp_path, input_size=size, augmentation=recipe, precision="auto")
    made = run.Run(config, Processes(torch.device("cpu")), photos=1)
    assert made.precision.dtype == expected
    assert run.Precision("bfloat16", torch.device("cpu"), 64).dtype == torch.bfloat16


def test_the_device_may_make_the_images(make_config, tmp_path):
    def first_loss(name, **changes):
        config = make_config(tmp_path / name, steps=1, log_every=1, **changes)
        train(config, progress=False)
        return json.loads((tmp_path / name / "log.jsonl").read_text())["class_loss"]

    expected = first_loss("workers")
    assert first_loss("device", augment_on="device") == pytest.approx(expected, rel=1e-3)
    assert first_loss("both", augment_on="device", workers=1) == pytest.approx(expected, rel=1e-3)
    for name, other in (("workers", "device"), ("device", "workers")):  # goes on with the other
        config = make_config(tmp_path / name, steps=2, log_every=1, augment_on=other)
        train(config, resume=True, progress=False)
        assert len((tmp_path / name / "log.jsonl").read_text().splitlines()) == 2


def test_a_missing_typeface_is_told_before_photos_are_decoded(make_config, tmp_path):
    recipe = Augmentation(crop="size", graphics=0.1, fonts=(Path("missing.ttf"),))
    config = make_config(tmp_path / "run", cache=tmp_path / "cache", augmentation=recipe)
    with pytest.raises(FileNotFoundError, match=r"fonts: .*missing\.ttf"):
        train(config, progress=False)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


def test_pixels_come_from_the_device_alone_where_it_is_to_make_them(
    make_config, tmp_path, monkeypatch
):
    def broken(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr("s3fd.data.rendering._cut", broken)
    train(make_config(tmp_path / "workers", steps=1), progress=False)
    with pytest.raises(RuntimeError, match="no"):
        train(make_config(tmp_path / "device", steps=1, augment_on="device"), progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        # Not of 64 px: oneDNN's bfloat16 gradient of a stride on a map of 1 x 1 reads stray memory.
        {"precision": "bfloat16", "input_size": 128, "steps": 2}, {"precision": "float16"},
        {"channels_last": False},
        {"optimizer": "sgd", "learning_rate": 1e-3, "schedule": "steps", "milestones": (2,)},
        {"clip": 0.0, "average": 0.0}, {"max_out_background": False, "top_n": 0},
        {"accumulate": 2},
    ],
)  # fmt: skip
def test_every_way_of_training_trains(make_config, tmp_path, changes):
    file = train(make_config(tmp_path, **{"steps": 3, **changes}), progress=False)
    state = load_checkpoint(file).state_dict()
    assert all(value.isfinite().all() for value in state.values())
    backgrounds = 1 if "top_n" in changes else 3
    assert state["head.logits.0.bias"].shape == (backgrounds + 1,)


def test_without_average_the_weights_are_kept(make_config, tmp_path):
    file = train(make_config(tmp_path, average=0.0), progress=False)
    model = torch.load(tmp_path / "last.pt", weights_only=True)["model"]
    kept = load_checkpoint(file).state_dict()
    assert all(torch.equal(model[name], value) for name, value in kept.items())


def test_the_compiled_network_is_one_graph_and_learns_the_same(make_config, tmp_path, monkeypatch):
    compiled = []

    def compile_without_generating_code(self):
        compiled.append(self)
        torch.nn.Module.compile(self, backend="aot_eager", fullgraph=True)

    monkeypatch.setattr(S3FD, "compile", compile_without_generating_code)
    yes, no = (
        load_checkpoint(
            train(make_config(tmp_path / name, steps=1, compile=name == "yes"), progress=False)
        ).state_dict()
        for name in ("yes", "no")
    )
    assert len(compiled) == 1
    for name, value in yes.items():
        torch.testing.assert_close(value, no[name], rtol=1e-3, atol=1e-3)


def test_a_run_that_goes_astray_stops_and_leaves_the_last_good_checkpoint(
    make_config, tmp_path, monkeypatch
):
    advance = run.Run.advance

    def breaks_at_step_5(self, batch):
        losses, norm = advance(self, batch)
        return losses, norm * float("nan") if self.step == 5 else norm

    monkeypatch.setattr(run.Run, "advance", breaks_at_step_5)
    with pytest.raises(FloatingPointError, match="gradient_norm is nan at step 6; lower learning_"):
        train(make_config(tmp_path), progress=False)
    assert torch.load(tmp_path / files.LAST, weights_only=True)["step"] == 3


def test_a_folder_that_holds_a_run_is_not_overwritten(make_config, tmp_path):
    train(make_config(tmp_path, steps=1), progress=False)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(FileExistsError, match="continue it with --resume"):
        train(make_config(tmp_path, steps=1), progress=False)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_nothing_to_resume_is_said(make_config, tmp_path):
    with pytest.raises(FileNotFoundError, match="start without --resume"):
        train(make_config(tmp_path / "none"), resume=True, progress=False)
    assert not (tmp_path / "none").exists()


def test_a_run_is_not_resumed_with_other_settings(make_config, tmp_path):
    train(make_config(tmp_path, steps=1), progress=False)
    with pytest.raises(ValueError, match=r"other settings: batch_size \(4 there\), clip \(10.0 th"):
        train(make_config(tmp_path, batch_size=5, clip=1.0), resume=True, progress=False)


def test_a_truncated_checkpoint_is_named(make_config, tmp_path):
    train(make_config(tmp_path, steps=1), progress=False)
    file = tmp_path / "last.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.pt: truncated, damaged"):
        train(make_config(tmp_path), resume=True, progress=False)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(make_config, tmp_path, capsys):
    train(make_config(tmp_path, steps=4, log_every=2, checkpoint_every=4))
    lines = capsys.readouterr().err.splitlines()
    assert "12 photos" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:]] == ["step 2/4", "step 4/4"]
    for part in ("class ", "box ", "lr ", "images/s", "left"):
        assert part in lines[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 48, "accumulate": 4}, "a step of 3 images of 1024 x 1024 px can't be sha"),
        ({"input_size": 100}, "input_size: expected a multiple of 32 of at least 64, got 100"),
    ],
)
def test_a_step_that_can_not_be_done_is_told_before_photos_are_decoded(
    make_config, tmp_path, change, message
):
    light = {"input_size": 256, "augmentation": Augmentation.small_inputs(), **change}
    config = make_config(tmp_path / "run", cache=tmp_path / "cache", **light)
    with pytest.raises(ValueError, match=message):
        train(config, progress=False)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_photos_that_cannot_be_read_are_named_in_one_line(make_config, data, tmp_path, workers):
    broken = tmp_path / "data"
    broken.mkdir()
    (broken / "annotations.json").write_text((data / "annotations.json").read_text())
    for i in range(12):
        (broken / f"{i}.png").write_text("no photo")
    with pytest.raises(ValueError, match=r"\.png: not a picture") as caught:
        train(make_config(tmp_path / "run", data=broken, workers=workers), progress=False)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_starts_from_trained_weights(make_config, tmp_path):
    torch.manual_seed(5)
    trained = S3FD("light").eval()
    save_checkpoint(trained, tmp_path / "trained.safetensors")
    config = make_config(
        tmp_path / "run", weights=tmp_path / "trained.safetensors", steps=1, learning_rate=1e-9
    )
    left = load_checkpoint(train(config, progress=False)).state_dict()
    for name, value in trained.named_parameters():
        assert torch.allclose(left[name], value, atol=1e-6), name


def test_what_is_kept_may_hold_a_share_of_the_weights_that_a_run_started_from(
    make_config, tmp_path
):
    torch.manual_seed(5)
    start = S3FD("light").eval()
    save_checkpoint(start, tmp_path / "start.safetensors")
    plain = make_config(tmp_path / "plain", weights=tmp_path / "start.safetensors")
    mixed = dataclasses.replace(plain, out=tmp_path / "mixed", start_share=0.25)
    left, kept = (load_checkpoint(train(each)).state_dict() for each in (plain, mixed))
    origin, moved = start.state_dict(), 0
    for name, value in left.items():
        if value.is_floating_point():
            assert torch.allclose(kept[name], 0.75 * value + 0.25 * origin[name], atol=1e-6), name
            moved += not torch.allclose(value, origin[name], atol=1e-4)
    assert moved > 20


def test_a_run_that_goes_on_keeps_the_share_of_its_own_start(make_config, tmp_path, weights):
    start = tmp_path / "start.safetensors"
    save_checkpoint(S3FD("light").eval(), start)
    # Three steps have the peak of the rate, whichever number of them is said to be the last.
    whole = make_config(
        tmp_path / "whole", weights=start, start_share=0.5, schedule="late", decay=0.25
    )
    parts = dataclasses.replace(whole, out=tmp_path / "parts")
    expected = weights(train(whole))
    train(dataclasses.replace(parts, steps=3))
    save_checkpoint(S3FD("light").eval(), start)  # another one
    assert weights(train(parts, resume=True)) == expected


def test_a_share_of_weights_that_are_not_given_is_refused(make_config, tmp_path):
    with pytest.raises(ValueError, match="start_share: there are no weights that the run starts"):
        make_config(tmp_path / "run", start_share=0.5)


def test_weights_of_another_network_are_refused(make_config, tmp_path):
    save_checkpoint(S3FD("light", backgrounds=1), tmp_path / "one.safetensors")
    config = make_config(tmp_path / "run", weights=tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match="weights: expected those of light with 3 background"):
        train(config, progress=False)
    config = make_config(tmp_path / "run", weights=tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        train(config, progress=False)


def test_a_doubtful_start_is_warned_of_once(make_config, tmp_path, capsys, monkeypatch):
    config = make_config(tmp_path, steps=1)
    monkeypatch.setattr(loop, "doubtful_start", lambda config: f"{config.model} of clay")
    train(config)
    assert "warning: light of clay" in capsys.readouterr().err
    train(dataclasses.replace(config, steps=2), resume=True)
    assert "warning" not in capsys.readouterr().err


def test_vgg16_from_nothing_is_doubtful(make_config, tmp_path):
    assert "imagenet" in loop.doubtful_start(make_config(tmp_path, model="vgg16"))
    for changes in (
        {"model": "light"},
        *({"model": "vgg16", name: Path("a.pth")} for name in ("imagenet", "weights")),
    ):
        assert loop.doubtful_start(make_config(tmp_path, **changes)) is None
