"""``s3fd train``: annotated photos in, weights out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from s3fd.training import TrainingConfig


def _setting(help_: str, *names: str, **options: Any) -> Any:
    """An option that replaces a key of the config; its default is what the config says."""
    return typer.Option(*names, help=help_, show_default=False, **options)


_COMPILE = "--compile/--no-compile"
_TENSORBOARD = "--tensorboard/--no-tensorboard"


def train(
    context: typer.Context,
    config: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A config of the package, or a TOML file.")
    ] = "light",
    data: Annotated[
        Path | None,
        _setting(
            "Photos with faces: annotations.json, WIDER FACE, COCO and others.", metavar="DIR"
        ),
    ] = None,
    out: Annotated[
        Path | None, _setting("Folder for weights, checkpoints and log.", metavar="DIR")
    ] = None,
    model: Annotated[str | None, _setting("light or vgg16.")] = None,
    imagenet: Annotated[
        Path | None, _setting("vgg16: start from torchvision's ImageNet weights.", metavar="FILE")
    ] = None,
    weights: Annotated[
        Path | None,
        _setting("Start from trained weights: light, or a file.", metavar="NAME|FILE"),
    ] = None,
    steps: Annotated[int | None, _setting("Optimiser steps of the whole run.", min=1)] = None,
    batch_size: Annotated[
        int | None, _setting("Images a step at --input-size, over all processes.", min=1)
    ] = None,
    accumulate: Annotated[
        int | None, _setting("Parts in which each process takes its images.", min=1)
    ] = None,
    input_size: Annotated[int | None, _setting("Side of the inputs, a multiple of 32.")] = None,
    optimizer: Annotated[str | None, _setting("adamw, or sgd with momentum.")] = None,
    learning_rate: Annotated[float | None, _setting("At its peak.")] = None,
    weight_decay: Annotated[float | None, _setting("Of convolution weights.", min=0)] = None,
    warmup: Annotated[int | None, _setting("Steps of rising learning rate.", min=0)] = None,
    precision: Annotated[
        str | None, _setting("bfloat16, float16, float32, or auto: bfloat16 where it is fast.")
    ] = None,
    compile_: Annotated[bool | None, _setting("Use torch.compile.", _COMPILE)] = None,
    workers: Annotated[
        int | None, _setting("Processes that prepare batches, for each that trains.", min=0)
    ] = None,
    device: Annotated[str | None, _setting("cpu, cuda, cuda:1.", metavar="NAME")] = None,
    seed: Annotated[int | None, _setting("Of weights and batches.", min=0)] = None,
    checkpoint_every: Annotated[int | None, _setting("Steps between checkpoints.", min=1)] = None,
    validate_every: Annotated[
        int | None, _setting("Steps between validations on held-out photos; 0: none.", min=0)
    ] = None,
    validation: Annotated[
        Path | None,
        _setting("Dataset whose split val is held out, if not --data.", metavar="DIR"),
    ] = None,
    tensorboard: Annotated[
        bool | None, _setting("Write curves and pictures for TensorBoard.", _TENSORBOARD)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the config; repeat for more."),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw what the augmentation does, and train nothing."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    auto_resume: Annotated[
        bool,
        typer.Option("--auto-resume", help="Go on if --out holds a run, start one otherwise."),
    ] = False,
) -> None:
    """Train a detector.

    What is done stands in --config; the other options replace what stands there. On several GPUs
    or machines: torchrun --nproc-per-node N -m s3fd train ...

    A run that was stopped goes on with the same command and --resume; --steps may then differ.
    """
    wanted = _config(context, config, settings or [])
    if preview is not None:
        _preview(wanted, preview)
        return
    from s3fd.training import train as run

    try:
        written = run(wanted, resume=resume, auto_resume=auto_resume)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command with --resume goes on from {wanted.out}", err=True)
        raise typer.Exit(130) from None
    from s3fd.training.distributed import is_first

    if is_first():
        typer.echo(f"wrote {written}")


_NO_KEYS = ("config", "settings", "preview", "resume", "auto_resume")


def _config(context: typer.Context, name: str, settings: list[str]) -> TrainingConfig:
    """The config, then ``--set``, then the options: what comes later counts."""
    from s3fd.training.config_file import make_config, merge, parse_settings, read_config

    try:
        values = read_config(name)
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(
            str(error).removeprefix("config: "), param_hint="--config"
        ) from None
    try:
        values = merge(values, parse_settings(settings))
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("--set: "), param_hint="--set") from None
    options = {
        key.rstrip("_"): value
        for key, value in context.params.items()
        if key not in _NO_KEYS and value is not None
    }
    if context.params["preview"] is not None:
        options.setdefault("out", context.params["preview"])
    return make_config(merge(values, options))


def _preview(config: TrainingConfig, folder: Path) -> None:
    """Pictures of the augmentation, and what the photos are."""
    from s3fd.data import read_photos
    from s3fd.data.preview import preview

    photo_set = read_photos(config.data, form=config.form)
    typer.echo(photo_set.summary())
    for path in preview(
        photo_set.photos,
        folder,
        seed=config.seed,
        input_size=config.input_size,
        augmentation=config.augmentation,
    ):
        typer.echo(f"wrote {path}")
