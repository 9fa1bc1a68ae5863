"""Pictures of all kinds and from all places, as uint8 RGB."""

from s3fd.images.errors import ImageError, ImageWarning, unreadable
from s3fd.images.files import open_file, upright
from s3fd.images.reading import ChannelOrder, ImageLike, is_image, open_rgb, read_image, read_scaled
from s3fd.images.source import Source
from s3fd.images.types import AnyArray, Scaled, Size, UInt8Array

__all__ = [
    "AnyArray",
    "ChannelOrder",
    "ImageError",
    "ImageLike",
    "ImageWarning",
    "Scaled",
    "Size",
    "Source",
    "UInt8Array",
    "is_image",
    "open_file",
    "open_rgb",
    "read_image",
    "read_scaled",
    "unreadable",
    "upright",
]
