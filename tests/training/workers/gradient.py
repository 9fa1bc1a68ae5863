"""One of the processes of a step: its gradient, and the statistics of its batch norms, to a file.

Usage: gradient.py DATA FILE BACKBONE
"""

import sys

import torch

from s3fd.data import Augmentation, TrainingBatches, read_photos
from s3fd.models import S3FD
from s3fd.training.batch_norm import synchronize_batch_norms
from s3fd.training.distributed import join_processes
from s3fd.training.gradient import StepGradient
from s3fd.training.loss import DetectionLoss
from s3fd.training.precision import Precision
from s3fd.training.run import over_processes


def main(data, file, backbone):
    with join_processes("cpu") as processes:
        batches = TrainingBatches(
            read_photos(data, "train").photos,
            steps=1, batch_size=5, input_size=64, seed=3, augmentation=Augmentation(),
            rank=processes.rank, world=processes.size,
        )  # fmt: skip
        torch.manual_seed(0)
        # In float64, no rounding decides on which side of a ReLU an activation lies.
        model = S3FD(backbone).double().train()
        if processes.size > 1:
            synchronize_batch_norms(model, processes.device)
        gradient = StepGradient(
            model,
            over_processes(model, processes),
            DetectionLoss(model.grid),
            Precision("float32", processes.device),
            processes,
            parts=1 if backbone == "light" else 2,
        )
        losses = processes.sum(gradient(batches[0]))
        if processes.is_first:
            gradients = {name: p.grad for name, p in model.named_parameters()}
            torch.save({"losses": losses, **gradients, **dict(model.named_buffers())}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
