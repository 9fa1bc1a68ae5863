# One file an operator; each registers its own kernels. The signatures are in schema.cpp.
# Sets S3FD_CPU_SOURCES and S3FD_CUDA_SOURCES.

set(S3FD_CPU_SOURCES
    csrc/schema.cpp
    csrc/build_info.cpp
    csrc/cpu/anchor_grid.cpp
    csrc/cpu/box_coding.cpp
    csrc/cpu/decode_detections.cpp
    csrc/cpu/l2_normalize.cpp
    csrc/cpu/match_anchors.cpp
    csrc/cpu/max_out_background.cpp
    csrc/cpu/multibox_loss.cpp
    csrc/cpu/nms.cpp
    csrc/cpu/soft_nms.cpp
    csrc/cpu/vote_boxes.cpp
)

set(S3FD_CUDA_SOURCES
    csrc/cuda/anchor_grid.cu
    csrc/cuda/box_coding.cu
    csrc/cuda/decode_detections.cu
    csrc/cuda/l2_normalize.cu
    csrc/cuda/match_anchors.cu
    csrc/cuda/max_out_background.cu
    csrc/cuda/multibox_loss.cu
    csrc/cuda/nms.cu
    csrc/cuda/primitives/radix_sort.cu
    csrc/cuda/soft_nms.cu
    csrc/cuda/vote_boxes.cu
)
