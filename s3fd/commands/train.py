"""``s3fd train``: annotated photos in, weights out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s3fd.commands.options import Device


def train(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Photos with faces: annotations.json, WIDER FACE, COCO and others."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for weights, checkpoint and log.")
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw what the augmentation does, and train nothing."),
    ] = None,
    model: Annotated[str, typer.Option(help="light or vgg16.")] = "light",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of the whole run.")] = 12500,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step at --input-size.")] = 48,
    input_size: Annotated[
        int, typer.Option(help="Side of most inputs, a multiple of 32; some are larger.")
    ] = 256,
    optimizer: Annotated[str, typer.Option(help="adamw, or sgd with momentum 0.9.")] = "adamw",
    learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(min=0, help="Of convolution weights.")] = 0.02,
    warmup: Annotated[int, typer.Option(min=0, help="Steps of rising learning rate.")] = 500,
    precision: Annotated[
        str, typer.Option(help="bfloat16, float32, or auto: bfloat16 where it is fast.")
    ] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 2,
    device: Device = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches.")] = 1,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    imagenet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="vgg16: start from torchvision's ImageNet weights."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a detector.

    A run that was stopped goes on with the same command and --resume; --steps may then differ.
    """
    if preview is not None:
        _preview(data, preview, input_size, seed)
        return
    if out is None:
        raise typer.BadParameter("name the folder of the run", param_hint="--out")

    from s3fd.training import TrainingConfig
    from s3fd.training import train as run

    config = TrainingConfig(
        data=data,
        out=out,
        model=model,  # type: ignore[arg-type]  # checked there
        steps=steps,
        batch_size=batch_size,
        input_size=input_size,
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup=warmup,
        precision=precision,  # type: ignore[arg-type]
        workers=workers,
        device=device,
        seed=seed,
        checkpoint_every=checkpoint_every,
        imagenet=imagenet,
    )
    try:
        weights = run(config, resume=resume)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command with --resume goes on from {out}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"wrote {weights}")


def _preview(data: Path, folder: Path, input_size: int, seed: int) -> None:
    """Pictures of the augmentation, and what the photos are."""
    from s3fd.data import Augmentation, read_photos
    from s3fd.data.preview import preview

    photo_set = read_photos(data)
    typer.echo(photo_set.summary())
    recipe = Augmentation.small_inputs()
    for path in preview(
        photo_set.photos, folder, seed=seed, input_size=input_size, augmentation=recipe
    ):
        typer.echo(f"wrote {path}")
