"""The mistakes of a detector, as pictures: what people who train look at first."""

from s3fd.evaluation.gallery.mistakes import JudgedPhoto
from s3fd.evaluation.gallery.writing import write_gallery

__all__ = ["JudgedPhoto", "write_gallery"]
