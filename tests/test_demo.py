"""The page of ``s3fd demo``, in a browser."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import s3fd
from s3fd import FaceDetector

pytest.importorskip("gradio", reason="needs Gradio: pip install 's3fd[demo]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install 's3fd[browser]'"
)

ASTRONAUT = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def address():
    command = [sys.executable, "-m", "s3fd", "demo", "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    yield re.match(r"http://127\.0\.0\.1:\d+/", line)[0]
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def browser():
    paths = list(filter(None, map(shutil.which, BROWSERS)))
    if not paths:
        pytest.skip(f"none of these browsers is here: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=paths[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    yield page
    page.close()


def drop(page, path):
    page.locator("input[type=file]").first.set_input_files(path)


def summary(page, text):
    """What the page says, when it says this."""
    found = page.locator("#summary", has_text=re.compile(text))
    found.wait_for()
    return found.inner_text()


def scores(page):
    cells = page.locator("[data-testid^=cell-][data-testid$='-4']")
    return [float(text) for text in cells.all_inner_texts() if text.strip()]


def downloaded(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(download.value.path()).read_bytes()


def test_a_photo_gives_boxes_scores_time_and_downloads(page):
    drop(page, ASTRONAUT)
    assert re.match(r"1 face in 512 x 512 pixels, \d+ ms", summary(page, "face"))
    expected = FaceDetector.from_pretrained(device="cpu")(ASTRONAUT)
    assert scores(page) == [pytest.approx(float(expected.scores[0]), abs=2e-3)]
    found = json.loads(downloaded(page, "JSON"))
    np.testing.assert_allclose(found["faces"][0]["box"], expected.boxes[0], atol=0.1)
    (crop,) = zipfile.ZipFile(io.BytesIO(downloaded(page, "Crops"))).infolist()
    assert crop.filename == "face-0.png"


def test_scale_and_threshold_can_be_moved(page, tmp_path):
    crowd = Image.new("RGB", (1024, 512))
    crowd.paste(Image.open(ASTRONAUT), (0, 0))
    crowd.paste(Image.open(ASTRONAUT).resize((96, 96)), (600, 200))
    crowd.save(tmp_path / "crowd.png")
    drop(page, tmp_path / "crowd.png")
    summary(page, "2 faces")
    size = page.get_by_label(re.compile("number input for Shrink"))
    size.fill("256")
    size.press("Tab")
    summary(page, "1 face ")


def test_a_broken_file_gives_a_message_that_names_it(page, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(ASTRONAUT.read_bytes()[:3000])
    drop(page, tmp_path / "broken.jpg")
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    assert "broken.jpg: damaged" in message.inner_text()
    assert str(tmp_path.parent) not in message.inner_text()


def test_it_ends_by_ctrl_c_and_keeps_nothing(tmp_path):
    command = [sys.executable, "-m", "s3fd", "demo", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, text=True,
        # Tests in the background of a shell pass Ctrl-C over, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert "http://127.0.0.1:" in process.stdout.readline()
    (folder,) = tmp_path.glob("s3fd-demo-*")
    (folder / "photo.jpg").touch()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not folder.exists()


def test_a_port_that_is_taken_is_one_line(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("demo", "--port", port, "--device", "cpu")
    assert refused.exit_code == 2
    assert f"nothing can listen on 127.0.0.1:{port}" in refused.stderr
