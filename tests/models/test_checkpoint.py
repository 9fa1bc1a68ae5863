import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from s3fd.models import S3FD, ModelConfig, load_checkpoint, pretrained_path, save_checkpoint
from s3fd.models.weights_file import read_weights

VARIANT = {
    "channel_order": "BGR",
    "mean": (1.5, -2.25, 3.0),
    "scale": 0.017,
    "fc6_padding": 4,
    "fc6_dilation": 3,
    "pools": "third_ceil",
}


@pytest.fixture(scope="module")
def light():
    torch.manual_seed(0)
    model = S3FD("light", channel_order="BGR", mean=(1.0, 2.0, 3.0))
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.add_(1)
    return model


@pytest.fixture
def saved(light, tmp_path):
    path = tmp_path / "light.safetensors"
    save_checkpoint(light, path, {"steps": "7"})
    return path


def rewrite(path, *, tensors=None, **changes):
    """The file again with some of its metadata changed, or without those that are None."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **{k.replace("_", "."): v for k, v in changes.items()}}
    metadata = {name: text for name, text in metadata.items() if text is not None}
    metadata.pop("s3fd.crc32", None)  # it was of other content
    tensors = safetensors.torch.load_file(path) if tensors is None else tensors
    safetensors.torch.save_file(tensors, path, metadata)


def rewrite_config(path, **changes):
    with safetensors.safe_open(path, framework="pt") as file:
        config = {**json.loads(file.metadata()["s3fd.config"]), **changes}
    config = {name: value for name, value in config.items() if value is not ...}
    rewrite(path, s3fd_config=json.dumps(config))


@pytest.mark.parametrize("backbone", ["light", "vgg16"])
def test_saving_and_loading_keeps_every_bit_and_the_whole_config(tmp_path, backbone):
    model = S3FD(backbone, **VARIANT)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.add_(1)
    save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.config == model.config == ModelConfig(backbone, **VARIANT)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert not loaded.training


@pytest.mark.parametrize(
    "options",
    [
        {"mean": [1, 2.5, 3]},
        {"mean": np.array([1.0, 2, 3])},
        {"mean": torch.tensor([1.0, 2, 3])},
        {"mean": tuple(np.float32([1.5, 2, 3]))},
        {"scale": np.float32(0.5), "fc6_padding": np.int64(3), "fc6_dilation": np.uint8(2)},
        {"scale": 1, "backgrounds": np.int64(2)},
    ],
)
def test_a_config_of_any_kind_of_numbers_is_that_of_its_file(tmp_path, options):
    model = S3FD("light", **options)
    save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors").config
    assert loaded == model.config
    assert hash(loaded) == hash(model.config)
    assert repr(loaded) == repr(model.config)  # the same types, too


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "abc"}, "mean: expected finite numbers of float32, three .* got 'abc'"),
        ({"mean": (1.0, 2.0)}, r"mean: expected .* three of them, got \(1.0, 2.0\)"),
        ({"mean": (True, 2.0, 3.0)}, "mean: expected finite numbers of float32"),
        ({"mean": ("1", "2", "3")}, "mean: expected finite numbers of float32"),
        ({"mean": (float("nan"), 2.0, 3.0)}, "mean: expected finite numbers of float32"),
        ({"mean": (10**400, 2.0, 3.0)}, "mean: expected finite numbers of float32"),
        ({"mean": np.ones((3, 1))}, "mean: expected finite numbers of float32"),
        ({"mean": 5}, "mean: expected finite numbers of float32, three of them, got 5"),
        ({"scale": True}, "scale: expected a finite number of float32 above 0, got True"),
        ({"scale": "1"}, "scale: expected a finite number of float32 above 0, got '1'"),
        ({"scale": 0.0}, "scale: expected a finite number of float32 above 0, got 0.0"),
        ({"scale": 10**400}, "scale: expected a finite number of float32 above 0"),
        ({"backgrounds": True}, "backgrounds: expected a whole number, backgrounds >= 1, got True"),
        ({"fc6_padding": 1.0}, "fc6_padding: expected a whole number"),
    ],
)
def test_a_config_that_no_file_could_hold_is_refused_by_its_field(options, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**options)


def test_the_loaded_model_gives_the_same_maps(light, saved):
    images = torch.randint(0, 256, (1, 3, 70, 90), dtype=torch.uint8)
    light.eval()
    loaded = load_checkpoint(saved)
    with torch.inference_mode():
        for theirs, ours in zip(
            light(light.preprocess(images)), loaded(loaded.preprocess(images)), strict=True
        ):
            assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


def test_the_loaded_model_can_be_trained_on(saved):
    model = load_checkpoint(saved).train()
    logits, _ = model(torch.randn(2, 3, 64, 64))
    sum(level.sum() for level in logits).backward()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.backbone.stem.conv.weight.grad is not None


def test_metadata_are_kept_beside_the_config(saved):
    with safetensors.safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["steps"] == "7"
    assert json.loads(metadata["s3fd.config"])["channel_order"] == "BGR"


def test_channels_last_and_half_precision_are_saved_and_loaded(light, tmp_path):
    model = S3FD("light")
    model.load_state_dict(light.state_dict())
    model = model.to(torch.bfloat16, memory_format=torch.channels_last)
    save_checkpoint(model, tmp_path / "half.safetensors")
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].to(tensor.dtype)), name
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_loading_leaves_the_random_generator_alone(saved):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_checkpoint(saved)
    assert torch.equal(torch.rand(3), expected)


def test_the_file_is_recognised_by_its_content(saved, tmp_path):
    saved.rename(tmp_path / "light.pth")
    assert load_checkpoint(str(tmp_path / "light.pth")).config.backbone == "light"


def test_a_failed_save_leaves_the_old_file_and_nothing_else(light, saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(light, saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_saving_into_a_missing_folder_says_so(light, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; create it"):
        save_checkpoint(light, tmp_path / "missing" / "light.safetensors")


def test_a_fused_model_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"model: .*fuse\(\); save it before"):
        save_checkpoint(S3FD("light").fuse(), tmp_path / "fused.safetensors")
    assert not list(tmp_path.iterdir())


def test_only_a_model_and_text_are_saved(light, tmp_path):
    with pytest.raises(TypeError, match="model: expected an S3FD, got Linear"):
        save_checkpoint(torch.nn.Linear(1, 1), tmp_path / "a")
    with pytest.raises(TypeError, match="metadata: expected text by name, got 'steps': 7"):
        save_checkpoint(light, tmp_path / "a", {"steps": 7})
    with pytest.raises(ValueError, match=r"metadata: 's3fd.config' belongs to the format"):
        save_checkpoint(light, tmp_path / "a", {"s3fd.config": "{}"})
    assert not list(tmp_path.iterdir())


# --- files that are not what they should be -------------------------------------------------------


def test_missing_extra_and_misshapen_tensors_of_our_format_are_named(saved):
    tensors = safetensors.torch.load_file(saved)
    del tensors["head.logits.0.bias"]
    tensors["head.masks.0.bias"] = torch.zeros(1)
    tensors["backbone.stem.conv.weight"] = torch.zeros(16, 3, 5, 5)
    rewrite(saved, tensors=tensors)
    with pytest.raises(ValueError, match=r"light\.safetensors: .* a file of s3fd") as error:
        load_checkpoint(saved)
    message = str(error.value)
    assert "missing 'head.logits.0.bias'" in message
    assert "unexpected 'head.masks.0.bias'" in message
    assert "'backbone.stem.conv.weight' is float32 [16, 3, 5, 5] instead of" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc6_padding": ...}, "expected the fields 'backbone', .*'pools'"),
        ({"anchors": 3}, "expected the fields"),
        ({"fc6_padding": "1"}, "fc6_padding: expected a value like 1, got '1'"),
        ({"fc6_dilation": True}, "fc6_dilation: expected a value like 1, got True"),
        ({"scale": None}, "scale: expected a value like 1.0"),
        ({"mean": [1.0, 2.0]}, "mean: expected a value like"),
        ({"mean": "abc"}, "mean: expected a value like"),
        ({"mean": [1.0, float("nan"), 3.0]}, "mean: expected finite numbers of float32"),
        ({"mean": [1.0, 2.0, -1e300]}, "mean: expected finite numbers of float32"),
        ({"scale": 0.0}, "scale: expected a finite number of float32 above 0"),
        ({"scale": float("inf")}, "scale: expected a finite number"),
        ({"scale": 1e-300}, "scale: expected a finite number"),
        ({"backbone": "resnet"}, "backbone: expected 'light', 'vgg16' or .*, got 'resnet'"),
        ({"backbone": "vgg16", "fc6_padding": -1}, "fc6_padding: expected fc6_padding >= 0"),
        ({"pools": "round"}, "pools: expected"),
    ],
)
def test_a_damaged_description_of_the_network_is_named(saved, changes, message):
    rewrite_config(saved, **changes)
    with pytest.raises(ValueError, match=rf"light\.safetensors: .*s3fd\.config.*{message}"):
        load_checkpoint(saved)


def test_a_description_that_is_not_json_is_named(saved):
    for text in ("{", "[]", "null", "3"):
        rewrite(saved, s3fd_config=text)
        with pytest.raises(ValueError, match=r"light\.safetensors: .*is damaged"):
            load_checkpoint(saved)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_numbers_that_no_network_can_count_with_are_named(light, saved, number):
    tensors = {name: tensor.clone() for name, tensor in light.state_dict().items()}
    name = "head.logits.2.weight"
    tensors[name] = tensors[name].double()  # where 1e300 is finite still
    tensors[name].view(-1)[5] = number
    rewrite(saved, tensors=tensors)
    with pytest.raises(ValueError, match=rf"light\.safetensors: NaN or infinite .* '{name}'"):
        load_checkpoint(saved)


def test_a_file_of_a_newer_s3fd_asks_for_an_upgrade(saved):
    rewrite(saved, s3fd_format="2")
    with pytest.raises(ValueError, match=r"expected format 1, got 2; .*upgrade s3fd"):
        load_checkpoint(saved)


def test_our_weights_without_their_description_are_refused(light, saved, tmp_path):
    rewrite(saved, s3fd_config=None)
    torch.save(light.state_dict(), tmp_path / "light.pth")
    for path in (saved, tmp_path / "light.pth"):
        with pytest.raises(ValueError, match="without the description of their network"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        torch.nn.Linear(2, 2).state_dict(),
        {"weight": torch.zeros(2), "epoch": 3},
        {"weight": {}},
        {"conv1_1.weight": torch.zeros(64, 3, 3, 3)},
        {3: torch.zeros(2)},
        {},
    ],
    ids=lambda content: ",".join(map(str, content)) or "nothing",
)
def test_an_unknown_format_is_named_with_the_known_ones(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: unknown format") as error:
        load_checkpoint(tmp_path / "other.pth")
    for name in list(content)[:1]:
        assert f"'{name}'" in str(error.value) or not content[name]
    assert "conv3_3_norm_mbox_conf.weight" in str(error.value)


def test_imagenet_weights_are_told_from_a_detector(tmp_path):
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg16.pth")
    with pytest.raises(ValueError, match="ImageNet, which finds no faces"):
        load_checkpoint(tmp_path / "vgg16.pth")


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def malicious(path):
    torch.save({"vgg.0.weight": Malicious()}, path)


def malicious_old(path):
    torch.save({"vgg.0.weight": Malicious()}, path, _use_new_zipfile_serialization=False)


def malicious_pickle(path):
    path.write_bytes(pickle.dumps(Malicious()))


def whole_module(path):
    torch.save(torch.nn.Linear(2, 2), path)


@pytest.mark.parametrize("write", [malicious, malicious_old, malicious_pickle, whole_module])
def test_nothing_in_a_file_is_run(tmp_path, write):
    write(tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth: ") as error:
        load_checkpoint(tmp_path / "evil.pth")
    assert error.value.__suppress_context__
    assert "weights_only" not in str(error.value)


def a_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


def a_traced_module(path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80"),
        lambda path: path.write_text("not weights at all\n"),
        lambda path: path.write_text('        {"a": 1}'),
        lambda path: path.write_bytes(b"\xff\xd8\xff\xe0 JFIF"),
        lambda path: path.write_bytes(bytes(1000)),
        lambda path: path.write_bytes(pickle.dumps([1, 2])),
        lambda path: path.write_bytes(pickle.dumps([1, 2], protocol=0)),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: torch.save([torch.zeros(3)], path),
        lambda path: path.mkdir(),
        a_zip,
        a_traced_module,
    ],
)
def test_a_file_of_something_else_is_one_clear_error(tmp_path, recwarn, write):
    write(tmp_path / "other.bin")
    recwarn.clear()
    with pytest.raises(ValueError, match=r"other\.bin: ") as error:
        load_checkpoint(tmp_path / "other.bin")
    assert ";" in str(error.value)  # the remedy follows
    assert len(str(error.value)) < 500
    assert error.value.__suppress_context__ or error.value.__context__ is None
    assert not recwarn.list


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"no/such\.pth: there is no such file"):
        load_checkpoint("no/such.pth")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "before torch 1.6"])
def test_a_truncated_file_is_one_clear_error(light, tmp_path, kind):
    path = tmp_path / "light.bin"
    if kind == "safetensors":
        save_checkpoint(light, path)
    else:
        torch.save(light.state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    for length in (1, 2, 8, 9, 10, 100, 5000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"light\.bin: ") as error:
            load_checkpoint(path)
        assert "pass another one" in str(error.value)


# --- bundled weights ------------------------------------------------------------------------------


def test_every_bundled_file_of_weights_loads():
    folder = pretrained_path.__globals__["_WEIGHTS_FOLDER"]
    for path in folder.glob("*.safetensors"):
        assert pretrained_path(path.stem) == path
        load_checkpoint(path)


def test_an_unknown_name_lists_the_bundled_weights():
    with pytest.raises(ValueError, match=r"name: expected bundled weights .* got 'heavy'"):
        pretrained_path("heavy")


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_number_that_has_changed_is_told_by_a_checksum(saved, share):
    flip(saved, int(share * saved.stat().st_size))
    with pytest.raises(ValueError, match=r"light\.safetensors: damaged: its numbers"):
        load_checkpoint(saved)


def test_a_setting_that_has_changed_is_told_by_a_checksum(saved):
    place = saved.read_bytes().index(b"2.0, 3.0")
    data = saved.read_bytes()
    saved.write_bytes(data[:place] + b"4" + data[place + 1 :])
    with pytest.raises(ValueError, match=r"light\.safetensors: damaged: its numbers"):
        load_checkpoint(saved)


def test_files_without_a_checksum_are_read(light, saved):
    rewrite(saved)
    assert load_checkpoint(saved).config == light.config


@pytest.mark.parametrize("computed", [True, False])
def test_the_checksums_of_torch_are_looked_at_where_there_are_any(tmp_path, computed):
    path = tmp_path / "weights.pth"
    kept = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(computed)
    try:
        torch.save({"a": torch.arange(1000.0)}, path)
    finally:
        torch.serialization.set_crc32_options(kept)
    assert torch.equal(read_weights(path).entries["a"], torch.arange(1000.0))
    flip(path, path.read_bytes().index(torch.arange(400.0, 500.0).numpy().tobytes()))
    if computed:
        with pytest.raises(ValueError, match=r"weights\.pth: truncated, damaged"):
            read_weights(path)


def test_a_name_need_not_be_utf8(saved):
    named = os.fsdecode(os.fsencode(saved.parent / "gru") + b"\xdf.safetensors")
    try:
        saved.replace(named)
    except OSError:
        pytest.skip("the file system takes no such names")
    assert load_checkpoint(named).config.mean == (1.0, 2.0, 3.0)
    assert read_weights(named).metadata["steps"] == "7"
