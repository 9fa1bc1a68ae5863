"""Command line flags made of a dataclass of settings: its fields, their types, ranges and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, Optional, get_origin, get_type_hints

import docstring_parser
from cyclopts import Group, Parameter

from s3fd.commands.options import number, option
from s3fd.settings import Range, split_hint


def flags_of(
    settings: type,
    groups: Mapping[str, str],
    *,
    group: Group | None = None,
    defaults: Any = None,
) -> type:
    """A dataclass of the same fields, each None where its flag was not given.

    A field that is a dataclass itself has flags such as ``--augmentation.flip``.

    Args:
        settings: a dataclass whose docstring describes its attributes.
        groups: the heading from each of these fields on.
        group: the heading before the first of them.
        defaults: what the help shows as defaults; None for those of the fields.
    """
    hints = get_type_hints(settings, include_extras=True)
    texts = {
        text.arg_name: text.description or ""
        for text in docstring_parser.parse(settings.__doc__ or "").params
    }
    made = []
    for setting in fields(settings):
        if setting.name in groups:
            group = Group.create_ordered(groups[setting.name])
        kind, extras = split_hint(hints[setting.name])
        if is_dataclass(kind) and isinstance(kind, type):
            nested = flags_of(kind, {}, group=group, defaults=_default(setting))
            made.append((setting.name, Optional[nested], field(default=None)))  # noqa: UP045
            continue
        default = _default(setting) if defaults is None else getattr(defaults, setting.name)
        flag = _flag(kind, extras, default, help=_sentence(texts[setting.name]), group=group)
        made.append((setting.name, Annotated[Optional[kind], flag], field(default=None)))  # noqa: UP045
    return make_dataclass(
        f"{settings.__name__}Flags",
        made,
        # Classes of the standard library, where it would be made, have no flags for cyclopts.
        namespace={"__module__": __name__},
        frozen=True,
        kw_only=True,
    )


def _default(setting: Field[Any]) -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    return None if setting.default is MISSING else setting.default


def _flag(kind: Any, extras: tuple[Any, ...], default: Any, **more: Any) -> Parameter:
    text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    more["show_default"] = False if default in (None, ()) else lambda _: text
    if kind is bool:
        more["negative_bool"] = "no-"
    if get_origin(kind) is tuple:
        more["consume_multiple"] = True
    for extra in extras:
        if isinstance(extra, Range):
            return number(kind, extra, **more)
    return option(**more)


def _sentence(text: str) -> str:
    """A text of a docstring, on one line and with a capital letter."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]
