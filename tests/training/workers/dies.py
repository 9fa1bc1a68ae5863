"""A run of several processes, one of which is killed once, after the step that is named.

Usage: dies.py DATA OUT STEP (0: none is killed)
"""

import os
import signal
import sys
from pathlib import Path

from s3fd.data import Augmentation
from s3fd.training import TrainingConfig, run, train
from s3fd.training.distributed import is_restart


def main(data, out, fatal_step):
    advance = run.Run.advance

    def dies(self, batch):
        if self.step == fatal_step and self.processes.rank == 1 and not is_restart():
            os.kill(os.getpid(), signal.SIGKILL)
        return advance(self, batch)

    if fatal_step:
        run.Run.advance = dies
    config = TrainingConfig(
        data=Path(data), out=Path(out), steps=6, batch_size=4, input_size=64, workers=0,
        checkpoint_every=2, validate_every=3, precision="float32", device="cpu", warmup=2,
        augmentation=Augmentation(),
    )  # fmt: skip
    train(config, progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
