"""The faults that mutants.py makes in the CUDA kernels, by what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """``edits``: of a file below csrc/, what is there once, and what is put there instead.

    ``only``: the calls that are checked. ``checks``: by which. ``by_radix``: lists of more than
    30 are sorted by radix, so that small checks see it. ``refused``: no check, but the compiler
    has to find it, and to say this; all others it has to take.
    """

    file: str
    edits: tuple[tuple[str, str], ...]
    only: str
    checks: tuple[str, ...] = ("watched", "watched in another order")
    by_radix: bool = False
    refused: str = ""


def mutant(
    file: str, old: str, new: str, only: str, *checks: str, by_radix: bool = False
) -> Mutant:
    return Mutant(file, ((old, new),), only, checks or Mutant.checks, by_radix)


FENCES = "cuda/primitives/block.cuh"
ARRIVE, SEE = "  __threadfence();\n  __syncthreads();\n", "  if (last) __threadfence();\n"

MUTANTS = {
    "a last block without fences": Mutant(
        FENCES, ((ARRIVE, "  __syncthreads();\n"), (SEE, "")), "nms"
    ),
    "a last block that does not release": mutant(FENCES, ARRIVE, "  __syncthreads();\n", "nms"),
    "a last block that does not acquire": mutant(FENCES, SEE, "", "nms"),
    "a last block that does not wait for its own threads": mutant(
        FENCES, ARRIVE, "  __threadfence();\n", "nms"
    ),
    "the count of arrived blocks is left as it is": mutant(
        FENCES, "    if (is_last) *arrived = 0;\n", "", "nms", "4097"
    ),
    "a sum over a block that does not wait for the last one": mutant(
        FENCES,
        "  __syncthreads();  // those of the last call have been read\n"
        "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n",
        "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n",
        "multibox_loss",
    ),
    "places in a list are taken by load and store": mutant(
        "cuda/primitives/warp.cuh",
        "  if (lane == 0) place = atomicAdd(count, static_cast<unsigned>(__popc(holding)));\n",
        "  if (lane == 0) {\n"
        "    place = *count;\n"
        "    *count = place + static_cast<unsigned>(__popc(holding));\n"
        "  }\n",
        "decode_detections",
    ),
    "digits of several blocks are added by load and store": mutant(
        "cuda/primitives/select.cuh",
        "    if (counts[i] > 0) atomicAdd(histogram + i, counts[i]);\n",
        "    if (counts[i] > 0) histogram[i] += counts[i];\n",
        "decode_detections", "watched in another order",
    ),
    "a histogram that keeps the last digit's counts": mutant(
        "cuda/primitives/select.cuh",
        "    histogram[first + i] = 0;\n", "", "decode_detections", "4097",
    ),
    "a threshold that the last known digit is left out of": mutant(
        "cuda/primitives/select.cuh",
        "prefix | NarrowEntry{found.digit} << shift;", "NarrowEntry{found.digit} << shift;",
        "decode_detections", "4097",
    ),
    "the strongest claim is found by load and store": mutant(
        "cuda/match_anchors.cuh",
        "    fresh += atomicMax(cells + anchor, make_claim(rule, overlap, box)) <= kHidden;\n",
        "    const Key claim = make_claim(rule, overlap, box), held = cells[anchor];\n"
        "    if (claim > held) cells[anchor] = claim;\n"
        "    fresh += held <= kHidden;\n",
        "match",
    ),
    "the last of the anchors is passed by": mutant(
        "cuda/match_list.cuh",
        "if (index < size_) visit(", "if (index < size_ - 1) visit(", "match_anchors",
    ),
    "the last group of the anchors is passed by": mutant(
        "cuda/match_list.cuh",
        "return (size_ + kGroup - 1) / kGroup;", "return size_ / kGroup;", "match_anchors",
    ),
    "a launch on the null stream": mutant(
        "cuda/nms.cu",
        "         kIndexThreads, 0, stream, ranked.lists",
        "         kIndexThreads, 0, nullptr, ranked.lists",
        "nms",
    ),
    "a size that is not waited for": mutant(
        "cuda/primitives/host.h",
        "  STD_CUDA_CHECK(cudaStreamSynchronize(stream));\n", "", "nms",
    ),
    "pairs that are packed wherever they lie": mutant(
        "cuda/primitives/packed.cuh",
        "tensor.size(dimension) % size == 0 &&\n"
        "              address % static_cast<uintptr_t>(size * tensor.element_size()) == 0;",
        "tensor.size(dimension) % size == 0 && address != 1;",
        "multibox_loss", "shifted",
    ),
    "boxes that are packed wherever they lie": mutant(
        "cuda/primitives/rows.cuh",
        "reinterpret_cast<uintptr_t>(data) % alignof(Four<T>) == 0", "data != nullptr",
        "encode_boxes", "shifted",
    ),
    "the last of more than 900 rows is left out": mutant(
        "cuda/l2_normalize.cuh",
        "row < num_rows; row", "row < num_rows - (num_rows > 900); row",
        "l2_normalize", "4097",
    ),
    "images beyond the rows of a grid are left out": mutant(
        "cuda/max_out_background.cuh",
        "for (int64_t image = blockIdx.y; image < images; image += gridDim.y) visit(",
        "if (const int64_t image = blockIdx.y; image < images) visit(",
        "max_out", "many images",
    ),
    "an offset of rows that is an int": mutant(
        "cuda/primitives/rows.cuh",
        "data + batch * batch_stride + row * row_stride",
        "data + static_cast<int>(batch * batch_stride + row * row_stride)",
        "code_boxes", "far", "far by the second dimension",
    ),
    "an offset of maps that is an int": mutant(
        "shared/tensor.h",
        "data + i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3]",
        "data + static_cast<int>(i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3])",
        "max_out", "far", "far by the second dimension",
    ),
    "members that are read one past their end": mutant(
        "cuda/vote_boxes.cuh", "i + 1 < size &&", "i + 1 <= size &&", "vote",
    ),
    "the last of equal scores, not the first": mutant(
        "cuda/soft_nms.cuh", "a.index < b.index", "a.index > b.index", "soft_suppression",
    ),
    "the best of many boxes goes by another thread": mutant(
        "cuda/soft_nms.cuh", "best.index % kThreads", "best.index % kFewSoftThreads",
        "soft_suppression", "turns",
    ),
    "the rounds of many boxes on the null stream": mutant(
        "cuda/soft_nms.cu",
        "kManySoftThreads, 0, stream, lists,", "kManySoftThreads, 0, nullptr, lists,",
        "soft_suppression", "turns",
    ),
    "terms that are replaced while others add them": mutant(
        "cuda/vote_boxes.cuh",
        "sum += terms[lane][j];\n    }\n    __syncwarp();\n",
        "sum += terms[lane][j];\n    }\n",
        "vote", "turns",
    ),
    "the first of many channels are not read again": mutant(
        "cuda/l2_normalize.cuh",
        "    x.read(in, features.stride[1], first, step, there);\n  }\n}", "  }\n}",
        "l2_normalize", "turns",
    ),
    "the gradients of the first of many channels are not read again": mutant(
        "cuda/l2_normalize.cuh",
        "      g.read(from_g, first, channels);\n    }\n  }\n", "    }\n  }\n",
        "l2_normalize", "turns",
    ),
    "a count that is read while blocks that have ended change it": mutant(
        "cuda/greedy_nms.cuh",
        "  const int32_t kept_begin = lists.progress[list].kept_begin;\n"
        "  const int32_t kept_end = lists.progress[list].kept_end;\n",
        "  const auto [kept_begin, kept_end, blocks_done] = lists.progress[list];\n",
        "nms", "turns",
    ),
    "boxes that are gathered one past their end": mutant(
        "cuda/ranked_boxes.cuh",
        "  if (i >= size) return;\n  const int64_t row = order[i];",
        "  if (i > size) return;\n  const int64_t row = order[i];",
        "nms",
    ),
    "a tile that is read before it is there": mutant(
        "cuda/greedy_nms.cuh",
        "[first + threadIdx.x];\n  }\n  __syncthreads();\n  if (i < count) {",
        "[first + threadIdx.x];\n  }\n  if (i < count) {",
        "nms",
    ),
    "a ballot that stands for a fence": mutant(
        "cuda/greedy_nms.cuh",
        "    __syncwarp();  // a ballot alone", "    // a ballot alone", "nms",
    ),
    "a sort that begins before its tile is there": mutant(
        "cuda/primitives/sort.cuh",
        "  __syncthreads();\n  sort_in_chunks(entries, size, 2,",
        "  sort_in_chunks(entries, size, 2,",
        "nms",
    ),
    "lanes that sort without waiting for each other": mutant(
        "cuda/primitives/sort.cuh", "        __syncwarp();\n", "", "nms",
    ),
    "a count that is written instead of added": mutant(
        "cuda/match_anchors.cuh",
        "    atomicAdd(counts.of_images + place.image, "
        "static_cast<int>(static_cast<uint32_t>(sums)));\n",
        "    counts.of_images[place.image] = static_cast<int>(static_cast<uint32_t>(sums));\n",
        "match",
    ),
    "lists that are not empty at first": mutant(
        "cuda/decode_detections.cu",
        "    workspace_.clear(progress, histograms, stream_);\n", "", "decode_detections",
    ),
    "a shuffle that some lanes have left": mutant(
        "cuda/primitives/warp.cuh",
        "  place = __shfl_sync(kAllLanes, place, 0);\n",
        "  if (!holds) return 0;\n  place = __shfl_sync(kAllLanes, place, 0);\n",
        "decode_detections",
    ),
    "the last tile is left out of the ranks": mutant(
        "cuda/primitives/sort.cuh",
        "for (int64_t begin = 0; begin < count; begin += kSize)",
        "for (int64_t begin = 0; begin + kSize < count; begin += kSize)",
        "nms", "9000",
    ),
    "a border that two tiles share": mutant(
        "cuda/greedy_nms.cuh",
        "i >= (word + 1) * kWordBits && (open", "i > (word + 1) * kWordBits && (open",
        "nms", "9000",
    ),
    "the second launch of a sort on the null stream": mutant(
        "cuda/primitives/sort.cuh",
        "         kRankThreads, 0, stream, source, sink, sorted, capacity);",
        "         kRankThreads, 0, nullptr, source, sink, sorted, capacity);",
        "nms", "9000",
    ),
    "a radix sort on the null stream": mutant(
        "cuda/primitives/sort.cuh",
        "capacity, first_radix_bit<Source>(), stream);",
        "capacity, first_radix_bit<Source>(), nullptr);",
        "nms", by_radix=True,
    ),
    "entries that are listed beyond the end": mutant(
        "cuda/primitives/sort.cuh", "  if (i >= capacity) return;\n", "", "nms", by_radix=True,
    ),
    "entries that are placed one past their end": mutant(
        "cuda/primitives/sort.cuh",
        "  if (i >= source.count(0)) return;", "  if (i > source.count(0)) return;",
        "nms", by_radix=True,
    ),
    "candidates of equal margins as they come": mutant(
        "cuda/decode_detections.cuh",
        "kNumbersRise = false", "kNumbersRise = true", "decode_detections", by_radix=True,
    ),
    "keys that are sorted without their first bits": mutant(
        "cuda/primitives/sort.cuh",
        "Source::kNumbersRise ? 32 : 0;", "Source::kNumbersRise ? 40 : 0;", "nms", by_radix=True,
    ),
    "a NaN that is the lowest score": mutant(
        "shared/score_key.h",
        "falling_key(float score) {\n  if (score != score) return 0;",
        "falling_key(float score) {\n  if (score != score) return ~0u;",
        "nms",
    ),
    "threads without anchors leave before a barrier": mutant(
        "cuda/multibox_loss.cuh",
        "  uint32_t positives = 0, backgrounds = 0,",
        "  if (chunks.begin() + threadIdx.x >= end) return;\n"
        "  uint32_t positives = 0, backgrounds = 0,",
        "multibox",
    ),
    "an offset of anchors that is an int": mutant(
        "cuda/loss_rows.cuh",
        "data + i * image + a * row", "data + static_cast<int>(i * image + a * row)",
        "multibox", "far", "far by the second dimension",
    ),
    "keys that are listed from anywhere on": mutant(
        "cuda/multibox_loss.cuh", "  if (threadIdx.x == 0) num_listed = 0;\n", "", "multibox",
    ),
    "counts that are cleared while others count": mutant(
        "cuda/multibox_loss.cuh",
        "num_listed = 0;\n  __syncthreads();\n", "num_listed = 0;\n", "multibox",
    ),
    "digits that are counted while others look them up": mutant(
        "cuda/mining.cuh",
        "    });\n    __syncthreads();\n", "    });\n", "multibox",
    ),
    "a block that finishes an image before the others": mutant(
        "cuda/multibox_loss.cuh",
        "  if (!is_last_block(mining.arrived + 1 + image, chunks.per_image)) return;",
        "  if (chunks.chunk() > 0) return;",
        "multibox", "watched in another order",
    ),
    "blocks of an image that are counted from anywhere on": mutant(
        "cuda/multibox_loss.cu",
        "workspace.clear(histograms, arrived, stream)",
        "workspace.clear(histograms, counts, stream)",
        "multibox",
    ),
    "fewer threads than have a share of all digits": Mutant(
        "cuda/mining.cuh", (("kLossThreads = 512;", "kLossThreads = 256;"),),
        "multibox", ("watched",), refused="static assertion failed",
    ),
    "the last digit is left out": mutant(
        "cuda/mining.cuh", "int digit = kSharedDigits;", "int digit = kSharedDigits + 1;",
        "multibox", "4097",
    ),
    "a chunk's own ties before itself": mutant(
        "cuda/mining.cuh", "i < chunk; i += kLossThreads) before",
        "i <= chunk; i += kLossThreads) before", "multibox", "4097",
    ),
}  # fmt: skip
