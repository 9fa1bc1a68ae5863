"""What counts as an answer: a right one, or one clear refusal. Everything else is a fault."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

_LONGEST_MESSAGE = 1500
PATIENCE = "S3FD_TORTURE_PATIENCE"  # how many times as much time as on a quiet machine

RIGHT, REFUSED = "right", "refused"


class Fault(Exception):  # noqa: N818  # it is what it says
    """What should never happen."""


def attempt(
    function: Callable[[], Any], *names: object, errors: tuple[type[Exception], ...]
) -> tuple[str, Any]:
    """Calls a function that may refuse what it is given.

    Args:
        function: to be called.
        names: of the thing that is tried; a refusal has to contain one of them. Without any,
            whatever it says is enough.
        errors: that a refusal may be.

    Returns:
        `RIGHT` and the answer, which the caller has to look at, or `REFUSED` and the message.

    Raises:
        Fault: it raised something else, a message that doesn't say what is refused, or one that is
            no line; or it gave a warning that the user can do nothing about.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            answer = RIGHT, function()
        except errors as error:
            text = str(error)
            if names and not any(os.fspath(name) in text for name in map(_text, names)):
                raise Fault(f"does not name it: {kind(error)}") from error
            if "\n" in text.strip() or len(text) > _LONGEST_MESSAGE:
                raise Fault(f"not one line: {kind(error)}") from error
            answer = REFUSED, text
        except Exception as error:
            raise Fault(f"raised {kind(error)}") from error
    for warning in said:
        category = warning.category
        if issubclass(category, Image.DecompressionBombWarning):
            continue  # Pillow's, of photos that are large but can be read
        if issubclass(category, RuntimeWarning | ResourceWarning):
            raise Fault(f"warned of {warning.message} ({Path(warning.filename).name})")
    return answer


def kind(error: BaseException) -> str:
    """An error by its type, its place, and what it says: by which faults are counted."""
    frame, places = error.__traceback__, []
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append((Path(code.co_filename), f"{Path(code.co_filename).name}:{code.co_name}"))
        frame = frame.tb_next
    ours = [place for path, place in places if "s3fd" in path.parts and "torture" not in path.parts]
    where = (ours or [place for _, place in places] or ["?"])[-1]
    return f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:160]}"


def expect(condition: object, what: str) -> None:
    """Raises `Fault` where something does not hold."""
    if not condition:
        raise Fault(what)


def patient(seconds: float) -> float:
    """The time that something may take on this machine, for what it may take on a quiet one."""
    return seconds * float(os.environ[PATIENCE])


def _text(name: object) -> str:
    return os.fspath(name) if isinstance(name, os.PathLike) else str(name)
