"""``s3fd analyze``: the ideas of the paper as tables, JSON and pictures, without training."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import s3fd
from s3fd.commands.options import Device, check_json_file, check_output_file
from s3fd.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from s3fd.analysis import MatchedAnchors, ReceptiveField
    from s3fd.models import S3FD

_PICTURES = (".png", ".svg", ".pdf")

analyze = typer.Typer(
    name="analyze",
    help="Show the paper's ideas in numbers and pictures, without training.",
    no_args_is_help=True,
)

JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the figures as JSON; - for the standard output."
    ),
]
PlotFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw a .png, .svg or .pdf; needs matplotlib.")
]


@analyze.command("matching")
def analyze_matching(
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="WIDER FACE's wider_face_val_bbx_gt.txt or .mat, an annotations.json, "
            "or the folder of one.",
        ),
    ],
    split: Annotated[str, typer.Option(metavar="NAME", help="Of a folder: val or train.")] = "val",
    input_size: Annotated[
        int, typer.Option(min=32, help="Images are scaled to fit into a square of this side.")
    ] = 640,
    top_n: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Also both stages with this N in place of the mean (the authors' code: 6); "
            "repeat it for more.",
            show_default=False,
        ),
    ] = None,
    bins_per_octave: Annotated[
        int, typer.Option(min=1, help="Bins of the plot and of JSON, from a scale to its double.")
    ] = 8,
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Matched anchors a face against its scale: SSD's rule, the first stage of S3FD, and both.

    This is the paper's argument for scale compensation (section 3.2): SSD's rule leaves tiny faces,
    and those between two anchors, with few anchors to learn from.
    """
    _check_outputs(json_file, plot)
    from s3fd.analysis import RULES, MatchingRule, count_matched_anchors, read_faces

    images = read_faces(data, split)
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
    _report(record, _matching_table(matched), json_file)
    if plot is not None:
        from s3fd.analysis.plots import draw_matching

        _save(draw_matching(matched, bins), plot)


@analyze.command("receptive-field")
def analyze_receptive_field(
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="light (bundled weights), vgg16 (random weights), or a file of weights.",
        ),
    ] = "light",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Fresh weights for this network.")
    ] = False,
    energy: Annotated[
        float,
        typer.Option(help="Share of the squared gradient that the effective field holds."),
    ] = 0.95,
    samples: Annotated[int, typer.Option(min=1, help="Random inputs for each level.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of inputs and random weights.")] = 0,
    device: Device = None,
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Theoretical and effective receptive field of each level, beside its anchor.

    This is the paper's argument for its anchor sizes (section 3.1): much smaller than the
    theoretical field, and about as large as the effective one. The field is that of a prediction,
    with the convolution of the head, as in the paper's table 1.
    """
    _check_outputs(json_file, plot)
    from s3fd.analysis import Predictions, receptive_fields

    network, weights = _network(model, random_weights, seed, device)
    grid = network.grid
    progress = Progress(
        TextColumn("{task.completed} of {task.total} gradients"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
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
    _report(record, _field_table(fields), json_file)
    if plot is not None:
        from s3fd.analysis.plots import draw_receptive_fields

        _save(draw_receptive_fields(fields, energy), plot)


def _network(model: str, random_weights: bool, seed: int, device: str | None) -> tuple[S3FD, str]:
    """The network that is meant, and where its weights are from."""
    import torch

    from s3fd.devices import resolve_device
    from s3fd.models import S3FD, load_checkpoint, pretrained_path

    try:
        place = resolve_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from None
    options: dict[str, Any] = {"backbone": model}
    if model != "vgg16":
        try:
            path = Path(model) if Path(model).is_file() else pretrained_path(model)
            network = load_checkpoint(path)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error), param_hint="--model") from None
        if not random_weights:
            return network.to(place), str(path)
        options = asdict(network.config)
    torch.manual_seed(seed)
    return S3FD(**options).to(place), "random"


def _check_outputs(json_file: str | None, plot: Path | None) -> None:
    """Finds what would keep results from being written before any work is done."""
    check_json_file(json_file)
    if plot is None:
        return
    if plot.suffix.lower() not in _PICTURES:
        raise typer.BadParameter(
            f"expected a name that ends in {', '.join(_PICTURES)}, got {plot}", param_hint="--plot"
        )
    check_output_file(plot, "--plot")
    if find_spec("matplotlib") is None:
        raise typer.BadParameter(
            "needs matplotlib; `pip install s3fd[eval]` brings it", param_hint="--plot"
        )


def _report(record: dict[str, Any], table: Table, json_file: str | None) -> None:
    """Prints the table, or writes JSON, or both."""
    text = json.dumps(record, indent=2)
    if json_file == "-":
        typer.echo(text)
        return
    Console(highlight=False).print(table)
    if json_file is not None:
        with whole_file(Path(json_file)) as file:
            file.write(text.encode() + b"\n")


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
