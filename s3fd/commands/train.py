"""``s3fd train``: annotated photos in, weights out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from s3fd.commands.options import Flag, UsageError, option
from s3fd.commands.outputs import Folder
from s3fd.commands.setting_flags import flags_of
from s3fd.training.config import TrainingConfig
from s3fd.training.config_file import make_config, merge, parse_settings, read_config

# Each begins at a setting, and holds those that follow.
_GROUPS = {
    "data": "Photos and results",
    "model": "Network",
    "positive_iou": "Matching and loss",
    "steps": "Steps and batches",
    "augmentation": "Augmentation",
    "optimizer": "Optimiser",
    "precision": "Machine",
    "checkpoint_every": "Checkpoints, validation and log",
}

_Flags = Parameter(name="*")(flags_of(TrainingConfig, _GROUPS))
_NO_FLAGS = _Flags()
if TYPE_CHECKING:
    Settings: TypeAlias = Any
else:
    Settings = _Flags


def train(
    *,
    config: Annotated[str, option("NAME|FILE")] = "light",
    set_: Annotated[list[str] | None, option("KEY=VALUE", name="--set")] = None,
    preview: Folder = None,
    resume: Flag = False,
    auto_resume: Flag = False,
    settings: Settings = _NO_FLAGS,
) -> int:
    """Train a detector.

    What is done stands in --config; then --set counts, then the other options. The defaults shown
    are those of the config `light`, which also validates and calibrates. On several GPUs or
    machines:
    torchrun --nproc-per-node N -m s3fd train ...

    A run that was stopped goes on with the same command and --resume; --steps may then differ.

    Args:
        config: A config of the package, or a TOML file.
        set_: Any key of the config; repeat for more.
        preview: Draw what the augmentation does into this folder, and train nothing.
        resume: Go on with the run in --out.
        auto_resume: Go on if --out holds a run, start one otherwise.
    """
    given = _given(settings)
    if preview is not None:
        given.setdefault("out", preview)
    wanted = _config(config, set_ or [], given)
    if preview is not None:
        _preview(wanted, preview)
        return 0
    from s3fd.training import train as run

    try:
        written = run(wanted, resume=resume, auto_resume=auto_resume)
    except KeyboardInterrupt:
        print(f"stopped; the same command with --resume goes on from {wanted.out}", file=sys.stderr)
        return 130
    from s3fd.training.distributed import is_first

    if is_first():
        print(f"wrote {written}")
    return 0


def _given(settings: Any) -> dict[str, Any]:
    """The values of the flags that were typed."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {
        name: _given(value) if is_dataclass(value) else value
        for name, value in values.items()
        if value is not None
    }


def _config(name: str, settings: Sequence[str], given: dict[str, Any]) -> TrainingConfig:
    """The config, then ``--set``, then the flags: what comes later counts."""
    try:
        values = read_config(name)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError("--config", str(error).removeprefix("config: ")) from None
    try:
        values = merge(values, parse_settings(settings))
    except ValueError as error:
        raise UsageError("--set", str(error).removeprefix("--set: ")) from None
    return make_config(merge(values, given))


def _preview(config: TrainingConfig, folder: Path) -> None:
    """Pictures of the augmentation, and what the photos are."""
    from s3fd.data import read_photos
    from s3fd.data.preview import preview

    photo_set = read_photos(config.data, form=config.form, classes=config.classes)
    print(photo_set.summary())
    try:
        written = preview(
            photo_set.photos,
            folder,
            seed=config.seed,
            input_size=config.input_size,
            augmentation=config.augmentation,
        )
    except FileExistsError as error:
        raise UsageError("--preview", str(error).removeprefix("folder: ")) from None
    for path in written:
        print(f"wrote {path}")
