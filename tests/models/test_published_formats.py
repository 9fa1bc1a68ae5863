"""Each published format against its own network, written anew here from the state dict alone.

The tables and the networks below know nothing of s3fd.models: they say once more, in the fewest
words, what the code of the publishers does.
"""

import itertools
import math
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from s3fd import ops
from s3fd.models import S3FD, load_checkpoint

PUBLISHERS = ("caffe", "s3fd.pytorch", "luuuyi")
SIZES = ((97, 142), (161, 301))  # odd, and differently rounded by every kind of pooling

# (name in the Caffe model, name in the lists of the other two, shape of the weight)
LAYERS = [
    ("conv1_1", "vgg.0", (64, 3, 3, 3)),
    ("conv1_2", "vgg.2", (64, 64, 3, 3)),
    ("conv2_1", "vgg.5", (128, 64, 3, 3)),
    ("conv2_2", "vgg.7", (128, 128, 3, 3)),
    ("conv3_1", "vgg.10", (256, 128, 3, 3)),
    ("conv3_2", "vgg.12", (256, 256, 3, 3)),
    ("conv3_3", "vgg.14", (256, 256, 3, 3)),
    ("conv4_1", "vgg.17", (512, 256, 3, 3)),
    ("conv4_2", "vgg.19", (512, 512, 3, 3)),
    ("conv4_3", "vgg.21", (512, 512, 3, 3)),
    ("conv5_1", "vgg.24", (512, 512, 3, 3)),
    ("conv5_2", "vgg.26", (512, 512, 3, 3)),
    ("conv5_3", "vgg.28", (512, 512, 3, 3)),
    ("fc6", "vgg.31", (1024, 512, 3, 3)),
    ("fc7", "vgg.33", (1024, 1024, 1, 1)),
    ("conv6_1", "extras.0", (256, 1024, 1, 1)),
    ("conv6_2", "extras.1", (512, 256, 3, 3)),
    ("conv7_1", "extras.2", (128, 512, 1, 1)),
    ("conv7_2", "extras.3", (256, 128, 3, 3)),
    ("conv3_3_norm_mbox_conf", "conf.0", (4, 256, 3, 3)),
    ("conv3_3_norm_mbox_loc", "loc.0", (4, 256, 3, 3)),
    ("conv4_3_norm_mbox_conf", "conf.1", (2, 512, 3, 3)),
    ("conv4_3_norm_mbox_loc", "loc.1", (4, 512, 3, 3)),
    ("conv5_3_norm_mbox_conf", "conf.2", (2, 512, 3, 3)),
    ("conv5_3_norm_mbox_loc", "loc.2", (4, 512, 3, 3)),
    ("fc7_mbox_conf", "conf.3", (2, 1024, 3, 3)),
    ("fc7_mbox_loc", "loc.3", (4, 1024, 3, 3)),
    ("conv6_2_mbox_conf", "conf.4", (2, 512, 3, 3)),
    ("conv6_2_mbox_loc", "loc.4", (4, 512, 3, 3)),
    ("conv7_2_mbox_conf", "conf.5", (2, 256, 3, 3)),
    ("conv7_2_mbox_loc", "loc.5", (4, 256, 3, 3)),
]
NORMS = [  # Caffe, S3FD.pytorch, luuuyi, channels, initial weight
    ("conv3_3_norm", "L2Norm3_3", "conv3_3_L2Norm", 256, 10.0),
    ("conv4_3_norm", "L2Norm4_3", "conv4_3_L2Norm", 512, 8.0),
    ("conv5_3_norm", "L2Norm5_3", "conv5_3_L2Norm", 512, 5.0),
]


def state_dict(publisher, weight, bias, norm):
    """A state dict whose tensors come from `weight(name, shape)`, `bias(name, n)`, `norm(n, x)`."""
    state = {}
    for named, listed, shape in LAYERS:
        name = named if publisher == "caffe" else listed
        state[f"{name}.weight"] = weight(named, shape)
        state[f"{name}.bias"] = bias(named, shape[0])
    for *names, channels, initial in NORMS:
        state[f"{names[PUBLISHERS.index(publisher)]}.weight"] = norm(channels, initial)
    return state


def blank(publisher):
    """All shapes, and next to nothing in a file."""
    return state_dict(
        publisher,
        lambda _, shape: torch.zeros(1).expand(shape),
        lambda _, size: torch.zeros(1).expand(size),
        lambda size, _: torch.zeros(1).expand(size),
    )


@pytest.fixture(scope="session")
def random_states():
    """The same random weights under the names of each publisher, with activations around 1."""
    generator = torch.Generator().manual_seed(0)

    def weight(name, shape):
        gain = 1.0 if "mbox" in name else 2.0  # the head has no ReLU
        scale = math.sqrt(gain / math.prod(shape[1:]))
        return torch.randn(shape, generator=generator) * scale * (0.02 if name == "conv1_1" else 1)

    def bias(name, size):
        values = 0.1 * torch.randn(size, generator=generator)
        if name.endswith("conf"):
            values[-1] -= 2.0  # few faces
        return values

    def norm(size, initial):
        return initial * (1 + 0.1 * torch.randn(size, generator=generator))

    caffe = state_dict("caffe", weight, bias, norm)
    tensors = list(caffe.values())
    names = {publisher: list(blank(publisher)) for publisher in PUBLISHERS}
    return {p: dict(zip(names[p], tensors, strict=True)) for p in PUBLISHERS}


@pytest.fixture(scope="session", params=PUBLISHERS)
def published(request, random_states, tmp_path_factory):
    """(publisher, its state dict, the model that load_checkpoint makes of it)."""
    state = random_states[request.param]
    path = tmp_path_factory.mktemp("published") / "weights.pth"
    torch.save(state, path)
    model = load_checkpoint(path)
    path.unlink()
    return request.param, state, model


# --- the three networks ---------------------------------------------------------------------------


def convolve(state, name, x, **options):
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def scaled_norm(state, name, x):
    norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
    return x / norm * state[f"{name}.weight"].view(1, -1, 1, 1)


def caffe_network(state, x):
    """SFD_pytorch, face-alignment, Wav2Lip: all pools round down; fc6 has padding 3, dilation 1."""
    features = []
    for block, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, depth + 1):
            x = convolve(state, f"conv{block}_{layer}", x, padding=1).relu()
        if depth == 3:
            features.append(scaled_norm(state, f"conv{block}_3_norm", x))
        x = F.max_pool2d(x, 2, 2)
    x = convolve(state, "fc6", x, padding=3).relu()
    x = convolve(state, "fc7", x).relu()
    features.append(x)
    for block in ("conv6", "conv7"):
        x = convolve(state, f"{block}_1", x).relu()
        x = convolve(state, f"{block}_2", x, stride=2, padding=1).relu()
        features.append(x)
    names = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
    return [
        [
            convolve(state, f"{name}_mbox_{kind}", feature, padding=1)
            for name, feature in zip(names, features, strict=True)
        ]
        for kind in ("conf", "loc")
    ]


def listed_network(state, x, *, fc6, norms):
    """S3FD.pytorch and luuuyi: modules in a list, of which the 17th, the third pool, rounds up."""
    features = []
    for index in range(31):
        if f"vgg.{index}.weight" in state:
            x = convolve(state, f"vgg.{index}", x, padding=1)
        elif index in (4, 9, 16, 23, 30):
            x = F.max_pool2d(x, 2, 2, ceil_mode=index == 16)
        else:
            x = x.relu()
        if index in (15, 22, 29):
            features.append(scaled_norm(state, norms[len(features)], x))
    x = convolve(state, "vgg.31", x, padding=fc6, dilation=fc6).relu()
    x = convolve(state, "vgg.33", x).relu()
    features.append(x)
    for index in range(4):
        odd = index % 2
        x = convolve(state, f"extras.{index}", x, stride=1 + odd, padding=odd).relu()
        if odd:
            features.append(x)
    return [
        [convolve(state, f"{kind}.{i}", f, padding=1) for i, f in enumerate(features)]
        for kind in ("conf", "loc")
    ]


@torch.inference_mode()
def original_maps(publisher, state, x):
    if publisher == "caffe":
        return caffe_network(state, x)
    if publisher == "luuuyi":
        return listed_network(state, x, fc6=1, norms=[norm[2] for norm in NORMS])
    return listed_network(state, x, fc6=6, norms=[norm[1] for norm in NORMS])


def original_input(publisher, rgb):
    """As OpenCV's BGR less the mean; S3FD.pytorch and syncnet_python turn it round again."""
    bgr = rgb.flip(1).float() - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
    return bgr.flip(1) if publisher == "s3fd.pytorch" else bgr


def original_detections(conf, loc):
    """Faces above 0.05 of one image after NMS at 0.3, by falling score: [N, 4], [N]."""
    boxes, scores = [], []
    for level, (classes, deltas) in enumerate(zip(conf, loc, strict=True)):
        stride, side = 4 * 2**level, 16 * 2**level
        background = classes[0, :-1].amax(dim=0)  # max-out
        probability = torch.stack([background, classes[0, -1]]).softmax(dim=0)[1]
        for row, column in (probability > 0.05).nonzero().tolist():
            dx, dy, dw, dh = deltas[0, :, row, column].tolist()
            x = (column + 0.5) * stride + 0.1 * dx * side
            y = (row + 0.5) * stride + 0.1 * dy * side
            w, h = side * math.exp(0.2 * dw), side * math.exp(0.2 * dh)
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            scores.append(float(probability[row, column]))
    boxes, scores = torch.tensor(boxes), torch.tensor(scores)
    order = scores.argsort(descending=True, stable=True)[:5000]
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[overlap(boxes[best], boxes[order]) <= 0.3]
    return boxes[kept[:750]], scores[kept[:750]]


def overlap(box, boxes):
    corner = torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])
    shared = corner.clamp(min=0).prod(dim=1)
    area = (box[2:] - box[:2]).prod()
    return shared / (area + (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) - shared)


def photo(size):
    generator = torch.Generator().manual_seed(sum(size))
    return torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="session")
def originals(published):
    """The raw maps of the original for an image of each size."""
    publisher, state, _ = published
    inputs = {size: original_input(publisher, photo(size)) for size in SIZES}
    return {size: original_maps(publisher, state, x) for size, x in inputs.items()}


@pytest.fixture(scope="session", params=SIZES, ids=lambda size: "{}x{}".format(*size))
def maps(request, published, originals):
    """(raw maps of the original, raw maps of the model) for one image."""
    _, _, model = published
    with torch.inference_mode():
        ours = model(model.preprocess(photo(request.param)))
    return originals[request.param], ours


# --- claims ---------------------------------------------------------------------------------------


def test_a_published_checkpoint_gives_the_maps_of_its_own_network(maps):
    original, loaded = maps
    for theirs, ours in zip(itertools.chain(*original), itertools.chain(*loaded), strict=True):
        assert theirs.shape == ours.shape
        assert 0.01 < theirs.std() < 100
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_a_published_checkpoint_gives_the_detections_of_its_own_network(maps):
    (conf, loc), (logits, deltas) = maps
    boxes, scores = original_detections(conf, loc)
    found, found_scores, splits = ops.decode_detections(
        logits, deltas, ops.AnchorGrid.s3fd(), score_threshold=0.05, iou_threshold=0.3
    )
    assert 5 < len(boxes) < 750
    assert splits.tolist() == [0, len(boxes)]
    torch.testing.assert_close(found, boxes, atol=1e-2, rtol=0)
    torch.testing.assert_close(found_scores, scores, atol=1e-4, rtol=0)


def test_every_other_variant_would_give_other_maps(published, originals):
    _, _, model = published
    changes = [
        {"fc6_padding": 1, "fc6_dilation": 1},
        {"fc6_padding": 3, "fc6_dilation": 1},
        {"fc6_padding": 6, "fc6_dilation": 6},
        {"pools": "ceil"},
        {"pools": "floor"},
        {"pools": "third_ceil"},
        {"channel_order": "RGB"},
        {"channel_order": "BGR"},
    ]
    others = [replace(model.config, **change) for change in changes]
    others = [config for config in others if config != model.config]
    assert len(others) == 5
    for config in others:
        with torch.device("meta"):
            other = S3FD(**asdict(config))
        other.load_state_dict(model.state_dict(), assign=True)
        with torch.inference_mode():
            maps = other(other.preprocess(photo(SIZES[0])))
        pairs = zip(itertools.chain(*originals[SIZES[0]]), itertools.chain(*maps), strict=True)
        assert any(a.shape != b.shape or (a - b).abs().max() > 0.01 for a, b in pairs), config


@pytest.mark.parametrize(
    ("publisher", "expected"),
    [
        ("caffe", [30 - 104, 20 - 117, 10 - 123]),
        ("s3fd.pytorch", [10 - 123, 20 - 117, 30 - 104]),
        ("luuuyi", [30 - 104, 20 - 117, 10 - 123]),
    ],
)
def test_the_input_has_the_channel_order_and_the_mean_of_its_publisher(
    tmp_path, publisher, expected
):
    torch.save(blank(publisher), tmp_path / "weights.pth")
    model = load_checkpoint(tmp_path / "weights.pth")
    red, green, blue = 10, 20, 30
    image = torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1)
    assert model.preprocess(image).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("publisher", "anchors", "last_maps"),
    [
        ("caffe", 34356, [24, 12, 6]),
        ("s3fd.pytorch", 34125, [20, 10, 5]),
        ("luuuyi", 34125, [20, 10, 5]),
    ],
)
def test_the_number_of_anchors_at_640_px(tmp_path, publisher, anchors, last_maps):
    torch.save(blank(publisher), tmp_path / "weights.pth")
    model = load_checkpoint(tmp_path / "weights.pth").to("meta")
    logits, deltas = model(torch.empty(1, 3, 640, 640, device="meta"))
    assert sum(level.shape[-2] * level.shape[-1] for level in deltas) == anchors
    assert [level.shape[-1] for level in deltas[3:]] == last_maps
    assert [level.shape[1] for level in logits] == [4, 2, 2, 2, 2, 2]


def in_training_checkpoint(state, path):
    torch.save({"epoch": 3, "weight": state, "optimizer": {"state": {}}}, path)


def in_state_dict(state, path):
    torch.save({"state_dict": {f"module.{name}": x for name, x in state.items()}}, path)


def with_prefix(state, path):
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)


def as_parameters(state, path):
    torch.save({name: torch.nn.Parameter(tensor) for name, tensor in state.items()}, path)


def before_torch_1_6(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def as_safetensors(state, path):
    safetensors.torch.save_file({n: x.half().contiguous() for n, x in state.items()}, path)


@pytest.mark.parametrize("publisher", PUBLISHERS)
@pytest.mark.parametrize(
    "wrap",
    [
        torch.save,
        in_training_checkpoint,
        in_state_dict,
        with_prefix,
        as_parameters,
        before_torch_1_6,
        as_safetensors,
    ],
)
def test_a_published_checkpoint_may_be_wrapped(tmp_path, publisher, wrap):
    path = tmp_path / "weights.bin"
    wrap(blank(publisher), path)
    model = load_checkpoint(path)
    assert model.config.backbone == "vgg16"
    assert not model.training
    for parameter in model.parameters():
        assert parameter.requires_grad
        assert parameter.dtype == torch.float32
        assert parameter.is_contiguous()
    assert sum(parameter.numel() for parameter in model.parameters()) == 22_459_110
    assert len(list(model.parameters())) == 65


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_every_missing_tensor_is_named(tmp_path, publisher):
    state = blank(publisher)
    path = tmp_path / "weights.pth"
    for missing in (next(iter(state)), list(state)[40], list(state)[-1]):
        torch.save({name: x for name, x in state.items() if name != missing}, path)
        with pytest.raises(ValueError, match=rf"weights\.pth.*missing '{missing}'\. "):
            load_checkpoint(path)


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_missing_extra_and_misshapen_tensors_are_named_together(tmp_path, publisher):
    state = blank(publisher)
    names = list(state)
    del state[names[3]]
    state["lfpn.0.weight"] = torch.zeros(1)
    state[names[6]] = torch.zeros(7, 1)
    state[names[8]] = torch.zeros(state[names[8]].shape, dtype=torch.int64)
    state[names[10]] = [1, 2]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="it does not fit") as error:
        load_checkpoint(tmp_path / "weights.pth")
    message = str(error.value)
    assert f"missing '{names[3]}'" in message
    assert "unexpected 'lfpn.0.weight'" in message
    assert f"'{names[6]}' is float32 [7, 1] instead of float32 " in message
    assert f"'{names[8]}' is int64" in message
    assert f"'{names[10]}' is a list" in message


def test_many_missing_tensors_are_counted(tmp_path):
    state = blank("caffe")
    torch.save({name: x for name, x in state.items() if "mbox" not in name}, tmp_path / "weights")
    with pytest.raises(
        ValueError, match=r"missing 'conv3_3_norm_mbox_conf\.weight', .* and 19 more"
    ):
        load_checkpoint(tmp_path / "weights")
