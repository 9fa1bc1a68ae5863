"""``s3fd analyze``: the ideas of the paper as tables, JSON and pictures, without training."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App
from rich.table import Table

import s3fd
from s3fd.commands.options import (
    OPTIONS,
    AtLeastOne,
    Count,
    Device,
    Flag,
    UsageError,
    device_of,
    number,
    option,
)
from s3fd.commands.outputs import Outputs, progress_bar
from s3fd.files import whole_file
from s3fd.settings import Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from s3fd.analysis import MatchedAnchors, ReceptiveField
    from s3fd.models import S3FD

analyze = App(
    name="analyze",
    help="Show the paper's ideas in numbers and pictures, without training.",
    group_parameters=OPTIONS,
    sort_key=3,
)


@analyze.command(name="matching")
def analyze_matching(
    *,
    data: Annotated[Path, option("PATH")],
    split: Annotated[str, option("NAME")] = "val",
    input_size: Annotated[int, number(int, Range(32))] = 640,
    top_n: list[AtLeastOne] | None = None,
    bins_per_octave: AtLeastOne = 8,
    outputs: Outputs = Outputs(),
) -> None:
    """Matched anchors a face against its scale: SSD's rule, the first stage of S3FD, and both.

    This is the paper's argument for scale compensation (section 3.2): SSD's rule leaves tiny faces,
    and those between two anchors, with few anchors to learn from.

    Args:
        data: WIDER FACE's wider_face_val_bbx_gt.txt or .mat, or labels of any form that s3fd train
            reads; a file, or the folder of one.
        split: Of a folder: val or train.
        input_size: Images are scaled to fit into a square of this side.
        top_n: Also both stages with this N in place of the mean (the authors' code: 6); repeat it
            for more.
        bins_per_octave: Bins of the plot and of JSON, from a scale to its double.
    """
    outputs.check(data)
    from s3fd.analysis import RULES, MatchingRule, count_matched_anchors, read_faces

    images = read_faces(data, split)
    outputs.check_photos(Path(image.name) for image in images)
    fixed = [MatchingRule(f"both, N = {n}", top_n=n) for n in dict.fromkeys(top_n or [])]
    rules = [*RULES, *fixed]
    matched = count_matched_anchors(
        [image.fitted(input_size) for image in images], (input_size, input_size), rules=rules
    )
    if len(matched.scales) == 0:
        raise ValueError(f"data: not one of the {len(images)} images of {data} has a face")
    bins = matched.bins(bins_per_octave)
    record = {
        "data": str(data),
        "split": split,
        "input_size": input_size,
        "s3fd": s3fd.__version__,
        "images": matched.images,
        "faces": len(matched.scales),
        "degenerate": matched.degenerate,
        "strides": matched.grid.strides,
        "anchors": matched.grid.sizes,
        "rules": [
            asdict(rule)
            | {
                "mean": float(matched.counts[rule.name].mean()),
                "without_anchor": int((matched.counts[rule.name] == 0).sum()),
                "at_most_one_anchor": int((matched.counts[rule.name] <= 1).sum()),
            }
            for rule in rules
        ],
        "bins_per_octave": bins_per_octave,
        "bins": [asdict(b) | {"mean": _defined(b.mean)} for b in bins],
    }
    outputs.publish(record, _matching_table(matched))
    if outputs.plot is not None:
        from s3fd.analysis.plots import draw_matching

        _save(draw_matching(matched, bins), outputs.plot)


@analyze.command(name="receptive-field")
def analyze_receptive_field(
    *,
    model: Annotated[str, option("NAME|FILE")] = "light",
    random_weights: Flag = False,
    energy: float = 0.95,
    samples: AtLeastOne = 8,
    seed: Count = 0,
    device: Device = None,
    outputs: Outputs = Outputs(),
) -> None:
    """Theoretical and effective receptive field of each level, beside its anchor.

    This is the paper's argument for its anchor sizes (section 3.1): much smaller than the
    theoretical field, and about as large as the effective one. The field is that of a prediction,
    with the convolution of the head, as in the paper's table 1.

    Args:
        model: light (bundled weights), vgg16 (random weights), or a file of weights.
        random_weights: Fresh weights for this network.
        energy: Share of the squared gradient that the effective field holds.
        samples: Random inputs for each level.
        seed: Of inputs and random weights.
    """
    outputs.check(model)
    from s3fd.analysis import Predictions, receptive_fields

    network, weights = _network(model, random_weights, seed, device)
    grid = network.grid
    with progress_bar("gradients") as progress:
        task = progress.add_task("", total=samples * grid.num_levels)
        fields = receptive_fields(
            Predictions(network),
            grid,
            energy=energy,
            samples=samples,
            seed=seed,
            advance=lambda: progress.advance(task),
        )
    record = {
        "model": model,
        "backbone": network.config.backbone,
        "weights": weights,
        "s3fd": s3fd.__version__,
        "energy": energy,
        "samples": samples,
        "seed": seed,
        "levels": [
            {
                "stride": field.stride,
                "anchors": field.anchors,
                "theoretical": field.theoretical,
                "theoretical_size": None if field.theoretical is None else field.theoretical.size,
                "effective": field.effective,
                "effective_size": field.effective.size,
            }
            for field in fields
        ],
    }
    outputs.publish(record, _field_table(fields))
    if outputs.plot is not None:
        from s3fd.analysis.plots import draw_receptive_fields

        _save(draw_receptive_fields(fields, energy), outputs.plot)


def _network(model: str, random_weights: bool, seed: int, device: str | None) -> tuple[S3FD, str]:
    """The network that is meant, and where its weights are from."""
    import torch

    from s3fd.models import S3FD, load_checkpoint
    from s3fd.models.checkpoint import weights_path

    place = device_of(device)
    options: dict[str, Any] = {"backbone": model}
    if model != "vgg16":
        try:
            path = weights_path(model)
            network = load_checkpoint(path)
        except (OSError, ValueError) as error:
            raise UsageError("--model", str(error)) from None
        if not random_weights:
            return network.to(place), str(path)
        options = asdict(network.config)
    torch.manual_seed(seed)
    return S3FD(**options).to(place), "random"


def _save(figure: Figure, plot: Path) -> None:
    from s3fd.analysis.plots import save

    with whole_file(plot) as file:
        save(figure, file, plot.suffix)


def _matching_table(matched: MatchedAnchors) -> Table:
    """Two rows an octave: faces of the size of an anchor, and those between two anchors."""
    table = Table(header_style="bold", title="mean number of matched anchors of a face")
    table.add_column("scale, pixels", justify="right")
    table.add_column("faces", justify="right")
    for name in matched.counts:
        table.add_column(name, justify="right")
    for b in matched.bins(per_octave=2):
        if b.faces:
            means = [f"{mean:.2f}" for mean in b.mean.values()]
            table.add_row(f"{b.low:.3g} to {b.high:.3g}", str(b.faces), *means)
    table.add_section()
    means = [f"{counts.mean():.2f}" for counts in matched.counts.values()]
    table.add_row("all", str(len(matched.scales)), *means, style="bold")
    shares = [f"{100 * (counts <= 1).mean():.1f} %" for counts in matched.counts.values()]
    table.add_row("at most one anchor", "", *shares)
    if matched.degenerate:
        table.caption = f"{matched.degenerate} boxes without area are left out"
    return table


def _field_table(fields: list[ReceptiveField]) -> Table:
    table = Table(header_style="bold", title="receptive field of each level, side in pixels")
    for name in ("stride", "anchor", "effective", "theoretical", "off centre (right, down)"):
        table.add_column(name, justify="right")
    for field in fields:
        theoretical, middle = "the whole input", field.effective.centre
        if field.theoretical is not None:
            theoretical, middle = f"{field.theoretical.size:.0f}", field.theoretical.centre
        table.add_row(
            str(field.stride),
            ", ".join(f"{w:g}" if w == h else f"{w:g} x {h:g}" for w, h in field.anchors),
            f"{field.effective.size:.0f}",
            theoretical,
            ", ".join(f"{distance:g}" for distance in middle),
        )
    return table


def _defined(means: dict[str, float]) -> dict[str, float | None]:
    """None for NaN, which JSON does not know."""
    return {name: None if math.isnan(mean) else mean for name, mean in means.items()}
