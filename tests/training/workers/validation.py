"""One of the processes of a validation: what it finds, and what the first one says, to a file.

Usage: validation.py DATA FILE
"""

import json
import sys
from pathlib import Path

from s3fd import FaceDetector
from s3fd.training import TrainingConfig
from s3fd.training.distributed import join_processes
from s3fd.training.events import Events
from s3fd.training.photos import RunPhotos
from s3fd.training.validation import Validation


def main(data, file):
    config = TrainingConfig(data=data, out="nowhere", validate_every=1)
    said = []
    with join_processes("cpu") as processes:
        photos = RunPhotos.from_config(config).validation.photos
        validation = Validation.of(photos, config, processes, said.append)
        validation.open_all()
        model = FaceDetector.from_pretrained("light", "cpu").model
        curve = validation.curve(model, Events(None), 1)
        found = {"average_precision": curve.average_precision, "said": sorted(said)}
        Path(f"{file}.{processes.rank}").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
