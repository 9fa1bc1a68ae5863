"""A run of several processes, each of which stands for a machine with a disk of its own.

What ends the run is written to a file by each process.

Usage: machines.py DATA FOLDER
"""

import os
import sys
from pathlib import Path

from s3fd.data import Augmentation
from s3fd.training import TrainingConfig, train


def main(data, folder):
    os.environ["LOCAL_RANK"] = "0"
    config = TrainingConfig(
        data=Path(data), out=folder / "run", cache=folder / f"cache of {os.environ['RANK']}",
        steps=2, batch_size=4, input_size=64, workers=0, precision="float32", device="cpu",
        warmup=1, augmentation=Augmentation(), corrupt_share=0.0,
    )  # fmt: skip
    try:
        train(config, progress=False)
    except OSError as error:
        (folder / f"error of {os.environ['RANK']}").write_text(str(error))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
