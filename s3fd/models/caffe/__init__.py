"""S3FDs that were trained with Caffe.

A .caffemodel describes the whole network that it was trained in. That is compared with the one that
is built here, down to strides, paddings and what reads what: weights alone would load into a wrong
network without an error.
"""

from s3fd.models.caffe.model import CaffeModel, is_caffemodel, read_caffe_model

__all__ = ["CaffeModel", "is_caffemodel", "read_caffe_model"]
