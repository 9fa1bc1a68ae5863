"""Settings in files: one TOML file an experiment, checked on load."""

from __future__ import annotations

import difflib
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from s3fd.data import Augmentation
from s3fd.messages import one_line, shown
from s3fd.training.config import TrainingConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# In a wheel they lie in the package, in a checkout beside it.
_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")

Table = dict[str, Any]


def config_names() -> list[str]:
    """The names of the configs that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def config_path(name_or_path: str | Path) -> Path:
    """The file of a config: one that comes with the package, by its name, or any other by its path.

    Raises:
        FileNotFoundError: there is neither; the message lists the names there are.

    Example:
        >>> config_path("light").name
        'light.toml'
    """
    named = _folder() / f"{name_or_path}.toml"
    if str(name_or_path) in config_names():
        return named
    path = Path(name_or_path)
    if not path.is_file():
        raise FileNotFoundError(
            f"config: expected one of {config_names()} or the path of a TOML file, "
            f"got {str(name_or_path)!r}; there is no such file"
        )
    return path


def read_config(name_or_path: str | Path) -> Table:
    """Reads the settings of a config, those of the config that it extends first.

    Keys are the attributes of `TrainingConfig`; the table ``[augmentation]`` holds those of
    `s3fd.data.Augmentation`. ``extends`` names another config, of the package or beside the file.

    Returns:
        Values by name, each of the type of its attribute.

    Raises:
        FileNotFoundError: as `config_path`.
        ValueError: the file is no TOML, has a key that does not exist, or a value of another type;
            the message names the file, the key, and the key that was probably meant.
    """
    return _read(config_path(name_or_path), ())


def parse_settings(settings: Iterable[str]) -> Table:
    """Reads ``KEY=VALUE`` of a command line; a value that is no TOML is text.

    Example:
        >>> parse_settings(["clip=5", "augmentation.flip=0", "optimizer=sgd"])
        {'clip': 5.0, 'augmentation': {'flip': 0.0}, 'optimizer': 'sgd'}
    """
    values: Table = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set: expected KEY=VALUE, got {shown(setting)}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        for name in reversed(key.strip().split(".")):
            value = {name: value}
        values = merge(values, _checked(value, "--set"))
    return values


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """The settings of both, those of `second` where they differ."""
    merged = dict(first)
    for name, value in second.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def make_config(values: Mapping[str, Any]) -> TrainingConfig:
    """The settings of a run, from values by name; what is not named is as in `TrainingConfig`.

    Raises:
        ValueError: ``data`` or ``out`` is missing, or a value can't be.
    """
    missing = [name for name in ("data", "out") if values.get(name) is None]
    if missing:
        flags = " and ".join(f"--{name} DIR" for name in missing)
        it = "them" if len(missing) > 1 else "it"
        raise ValueError(
            f"{' and '.join(missing)}: there is none; pass {flags}, or set {it} in the config"
        )
    values = dict(values)
    if "augmentation" in values:
        values["augmentation"] = Augmentation(**values["augmentation"])
    return TrainingConfig(**values)


def _folder() -> Path:
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


def _read(path: Path, seen: tuple[Path, ...]) -> Table:
    if path in seen:
        raise ValueError(f"{path}: extends itself, through {seen[-1]}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from None
    base = values.pop("extends", None)
    own = _checked(values, str(path))
    if base is None:
        return own
    if not isinstance(base, str):
        raise ValueError(f"{path}: extends: expected the name of a config, got {shown(base)}")
    beside = path.parent / f"{base}.toml"
    try:
        below = beside if beside.is_file() else config_path(base)
    except OSError as error:  # not there, or no name of a file
        raise ValueError(f"{path}: extends: {one_line(error)}") from None
    return merge(_read(below, (*seen, path)), own)


def _checked(values: Table, source: str, owner: type = TrainingConfig, prefix: str = "") -> Table:
    hints = get_type_hints(owner)
    names = [field.name for field in fields(owner)]
    checked: Table = {}
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"{source}: unknown key {shown(prefix + name)}; {_meant(name, names)}")
        if hints[name] is Augmentation:
            if not isinstance(value, dict):
                raise ValueError(f"{source}: {name}: expected a table, got {shown(value)}")
            checked[name] = _checked(value, source, Augmentation, f"{name}.")
            continue
        try:
            checked[name] = _converted(value, hints[name])
        except TypeError as error:
            raise ValueError(f"{source}: {prefix}{name}: {error}, got {shown(value)}") from None
    return checked


def _meant(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(names)}"


def _converted(value: Any, hint: Any) -> Any:
    """The value as the type of its attribute, if it is one; numbers are not guessed from text."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return _converted(value, next(kind for kind in arguments if kind is not type(None)))
    if get_origin(hint) is Literal:
        return _converted(value, str)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError("expected a list")
        return tuple(_converted(item, arguments[0]) for item in value)
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise TypeError("expected a number of at most 300 digits") from None
    if type(value) is not hint:
        raise TypeError(f"expected {_NAMES.get(hint, hint)}")
    return value


_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}
