"""A page to try the detector, made with Gradio (``pip install 's3fd[demo]'``).

Nothing leaves this machine, and nothing stays: photos and results lie in a temporary folder that
goes with the page.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from s3fd.defaults import IOU_THRESHOLD, MAX_PIXELS, MAX_SIZE, SCORE_THRESHOLD
from s3fd.detections import Detections
from s3fd.detector import FaceDetector

if TYPE_CHECKING:
    from gradio import Blocks

    from s3fd.search import CommonSettings

_HOUR = 3600
_LARGEST = 4096  # to which photos may be shrunk, in pixels


@contextmanager
def serving(detector: FaceDetector, *, host: str = "127.0.0.1", port: int = 7860) -> Iterator[str]:
    """Serves the page while the context lasts, and gives its address.

    Args:
        detector: finds the faces.
        host: of the network interface; others than this machine reach the page on ``"0.0.0.0"``.
        port: where to listen; 0 takes a free one.

    Raises:
        ImportError: Gradio is not installed.
        OSError: nothing can listen there.
    """
    with tempfile.TemporaryDirectory(prefix="s3fd-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when Gradio makes the page
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        page = make_page(detector, Path(folder))
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port or None,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                run_history=False,
                footer_links=[],
                theme=_gradio().themes.Base(font=["system-ui"], font_mono=["monospace"]),
            )
            yield address
        finally:
            page.close(verbose=False)


def make_page(detector: FaceDetector, folder: Path) -> Blocks:
    """The page itself.

    Args:
        detector: finds the faces.
        folder: for files that are downloaded.

    Raises:
        ImportError: Gradio is not installed.
    """
    gr = _gradio()
    with gr.Blocks(title="s3fd", analytics_enabled=False, delete_cache=(_HOUR, _HOUR)) as page:
        with gr.Row():
            with gr.Column():
                photo = _photo(gr)
                threshold = gr.Slider(0.01, 0.99, SCORE_THRESHOLD, step=0.01, label="Least score")
                overlap = gr.Slider(0.05, 0.95, IOU_THRESHOLD, step=0.05, label="Most overlap")
                size = gr.Slider(
                    128, _LARGEST, MAX_SIZE, step=32, label="Shrink to this longest side, pixels"
                )
                several = gr.Checkbox(label="Look at several scales: better, and slow")
            with gr.Column():
                drawn = gr.Image(label="Faces", format="png", interactive=False)
                summary = gr.Markdown(elem_id="summary")
                crops = gr.Gallery(
                    label="Crops", columns=6, height=200, object_fit="contain", interactive=False
                )
                with gr.Row():
                    as_json = gr.DownloadButton("JSON", interactive=False)
                    as_crops = gr.DownloadButton("Crops", interactive=False)
        table = gr.Dataframe(
            headers=["x1", "y1", "x2", "y2", "score"], label="Boxes", interactive=False
        )

        def find(path: str | None, *settings: Any) -> list[Any]:
            if path is None:
                download = gr.DownloadButton(interactive=False)
                return [None, "", download, download, [], []]
            try:
                faces, seconds = _find(detector, path, *settings)
            except (OSError, ValueError) as error:
                text = str(error).replace(path, Path(path).name)
                raise gr.Error(text, duration=None, print_exception=False) from None
            picture = faces.draw()
            cut = faces.crops(margin=0.2)
            files = [
                gr.DownloadButton(value=x, interactive=True) for x in _write(faces, cut, folder)
            ]
            rows = [[*(round(x, 1) for x in box), round(score, 3)] for box, score in faces]
            return [picture, _in_words(faces, seconds), *files, cut, rows]

        inputs = [photo, threshold, overlap, size, several]
        gr.on(
            [photo.change, threshold.release, overlap.release, size.release, several.change],
            find,
            inputs,
            [drawn, summary, as_json, as_crops, crops, table],
            api_visibility="private",
            show_progress="minimal",
        )
    return cast("Blocks", page)


def _find(
    detector: FaceDetector,
    path: str,
    score_threshold: float,
    iou_threshold: float,
    max_size: int,
    multi_scale: bool,
) -> tuple[Detections, float]:
    """The faces, and the seconds that it took to find them, reading included."""
    common: CommonSettings = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    start = time.perf_counter()
    if multi_scale:
        pixels = min(MAX_PIXELS, int(max_size) ** 2)
        faces = detector.detect_multiscale(path, max_pixels=pixels, **common)
    else:
        faces = detector(path, max_size=int(max_size), **common)
    return faces, time.perf_counter() - start


def _in_words(faces: Detections, seconds: float) -> str:
    height, width = faces.image_size
    count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    return f"**{count}** in {width} x {height} pixels, {1000 * seconds:.0f} ms"


def _write(faces: Detections, crops: list[Image.Image], folder: Path) -> tuple[Path, Path]:
    """Files to download: the boxes, and an archive of the faces."""
    own = Path(tempfile.mkdtemp(dir=folder))
    boxes, archive = own / "faces.json", own / "faces.zip"
    boxes.write_text(json.dumps(faces.to_dict(), indent=2) + "\n")
    with zipfile.ZipFile(archive, "w") as opened:
        for number, crop in enumerate(crops):
            with opened.open(f"face-{number}.png", "w") as file:
                crop.save(file, "PNG")
    return boxes, archive


def _photo(gr: Any) -> Any:
    """Where a photo is dropped: the file as it is, for the detector says what is wrong with it."""
    photo = gr.Image(label="Photo", sources=["upload", "webcam", "clipboard"], type="filepath")
    photo.preprocess = lambda payload: None if payload is None else payload.path
    return photo


def _gradio() -> Any:
    try:
        import gradio
    except ImportError:
        raise ImportError("s3fd.demo needs Gradio: pip install 's3fd[demo]'") from None
    return gradio
