"""``s3fd demo``: a page in the browser to try the detector."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

from rich.console import Console

from s3fd.commands.options import (
    Device,
    Flag,
    Model,
    UsageError,
    device_of,
    number,
    option,
)
from s3fd.settings import Range


def demo(
    *,
    host: Annotated[str, option("NAME")] = "127.0.0.1",
    port: Annotated[int, number(int, Range(0, 65535))] = 7860,
    browser: Flag = False,
    model: Model = "light",
    device: Device = None,
) -> None:
    """Try the detector on a page in the browser: photos, the camera, thresholds.

    Runs until Ctrl-C. Photos stay on this machine, and nothing is kept.

    Args:
        host: Where to listen: 127.0.0.1 is reached from this machine alone, 0.0.0.0 from others.
        port: Where to listen; 0 takes a free one.
        browser: Open the page.
        model: Bundled weights, or a file of weights.
        device: cpu, cuda, cuda:1, mps.
    """
    from s3fd.demo import serving
    from s3fd.detector import FaceDetector

    try:
        detector = FaceDetector.from_pretrained(model, device_of(device))
    except (OSError, ValueError) as error:
        raise UsageError("--model", str(error)) from None
    try:
        with serving(detector, host=host, port=port) as address:
            Console(highlight=False).print(f"{address} (Ctrl-C ends it)", soft_wrap=True)
            if browser:
                webbrowser.open(address)
            threading.Event().wait()
    except OSError as error:
        raise UsageError("--port", f"nothing can listen on {host}:{port} ({error})") from None
