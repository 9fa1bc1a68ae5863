// Greedy suppression of several lists of boxes at once, exact, without a mask of all pairs.
//
// A list comes by falling score and is worked through in tiles of 1024 boxes. One launch finds, for
// every box, which of those before it in its own tile overlap it too much (1024 bits a box), and
// its last block decides the first tile from these bits. Then one launch a tile compares the boxes
// that stay there with all later ones, and its last block decides the next tile. Nothing waits for
// the host, and lists have their lengths on the device: blocks beyond a list's end return at once.
//
// Bytes: 16 a box and launch, 128 a box of bits, once each; operations bound it: a dozen for a pair
// of boxes that do not meet, twice that with the division. The boxes that a block looks at share
// bounds, and the boxes that stay but do not meet these are left out together: where `place` brings
// boxes together that are close to each other, nearly all are. What is left is latency: a launch,
// and the 16 steps of 64 boxes in which a tile is decided, whose bits are read a step ahead.
#pragma once

#include <cmath>
#include <limits>

#include "cuda/primitives/block.cuh"
#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "shared/geometry.h"

namespace s3fd::cuda {

constexpr int kTile = 1024, kWordBits = 64, kWords = kTile / kWordBits;
constexpr int kGreedyThreads = 256;
constexpr int32_t kOpen = -1;  // the owner of a box that no box has suppressed yet

// Boxes that are read and written in one piece.
template <typename T>
struct alignas(16) StoredBox : Box<T> {};

// How far the suppression of a list has come. All 0 at first.
struct Progress {
  int32_t kept_begin, kept_end;  // what the last tile that was decided has kept
  unsigned blocks_done;
};

// Memory of the suppression of lists of boxes: lists [L, capacity], tiles rounded up.
template <typename T>
struct GreedyLists {
  const StoredBox<T>* boxes;  // by falling score
  const int64_t* groups;      // of these boxes, if boxes of different groups never meet
  const int32_t* place;       // all numbers of boxes, close ones together, or null: as they come
  const unsigned* found;      // how many boxes the lists want to have, or null: the capacity
  int32_t* owners;            // kOpen, and at the end by which box each was suppressed; or itself
  uint64_t* overlaps;         // [L, tiles, kWords, kTile]: the boxes before each that overlap it
  int32_t* kept;              // [L, keep]: numbers of those that stay
  Progress* progress;         // [L]
  int64_t capacity, keep;
  T highest_iou;  // that does not suppress

  __device__ int64_t count(int64_t list) const {
    return found == nullptr || found[list] > capacity ? capacity : int64_t{found[list]};
  }

  __device__ uint64_t* overlaps_of(int64_t list, int64_t tile) const {
    const int64_t tiles = (capacity + kTile - 1) / kTile;
    return overlaps + (list * tiles + tile) * kWords * kTile;
  }

  __device__ bool overlap(const Box<T>& a, T area_a, const Box<T>& b, T area_b) const {
    // Most boxes do not meet; that spares them the division.
    return intersection(a, b) > 0 && iou(a, area_a, b, area_b) > highest_iou;
  }
};

// ---- Deciding a tile

// Of up to 64 boxes, each with those of them before it that overlap it (of lane l: `low` of box l,
// `high` of box l + 32), which stay. In each round those stay that no open box is in the way of,
// and what they overlap goes: as many rounds as boxes suppress each other in a row.
__device__ inline uint64_t decide_word(uint64_t open, uint64_t low, uint64_t high) {
  const auto of_all = [&](bool of_low, bool of_high) {
    const uint64_t upper = __ballot_sync(kAllLanes, of_high);
    return upper << 32 | __ballot_sync(kAllLanes, of_low);
  };
  uint64_t kept = 0;
  while (open != 0) {
    const uint64_t stay = open & of_all((low & open) == 0, (high & open) == 0);
    kept |= stay;
    open &= ~stay;
    open &= ~of_all((low & kept) != 0, (high & kept) != 0);
  }
  return kept;
}

// What a block knows of the tile that it decides.
struct TileState {
  unsigned open[kTile / kWarp];  // a bit for each box that nothing has suppressed yet
  uint64_t kept[kWords];
  uint64_t own[kWordBits];  // of the boxes of a word, those of it that overlap them
};

__device__ inline int first_bit(uint64_t bits) { return __ffsll(static_cast<long long>(bits)) - 1; }

// What the threads of a block read of the overlaps with the boxes of one word, a step ahead of
// their use: none of it depends on what stays. A thread has the same boxes of the tile in all
// words.
struct WordOverlaps {
  static constexpr int kHeld = kTile / kGreedyThreads;

  uint64_t bits[kHeld];

  // overlaps: of the tile.
  __device__ void read(const uint64_t* overlaps, int word, int size) {
    overlaps += word * kTile;
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const int i = k * kGreedyThreads + static_cast<int>(threadIdx.x);
      bits[k] = i >= word * kWordBits && i < size ? overlaps[i] : 0;
    }
  }

  // Hands over those of the word's own boxes.
  __device__ void share(int word, TileState& state) const {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const int i = k * kGreedyThreads + static_cast<int>(threadIdx.x) - word * kWordBits;
      if (i >= 0 && i < kWordBits) state.own[i] = bits[k];
    }
  }
};

// Decides the boxes of one word, by the first warp of the block.
__device__ inline void decide_word_of_tile(int32_t* owners, int64_t begin, int word,
                                           TileState& state) {
  const int lane = static_cast<int>(threadIdx.x), first = word * kWordBits;
  const uint64_t open = uint64_t{state.open[2 * word + 1]} << kWarp | state.open[2 * word];
  const uint64_t kept = decide_word(open, state.own[lane], state.own[lane + kWarp]);
  for (int bit = lane; bit < kWordBits; bit += kWarp) {
    if ((open >> bit & 1) == 0) continue;
    const bool stays = kept >> bit & 1;
    const int owner = stays ? bit : first_bit(state.own[bit] & kept);
    owners[first + bit] = static_cast<int32_t>(begin + first + owner);
  }
  if (lane == 0) state.kept[word] = kept;
}

// Takes out the boxes of later words of the tile that overlap those kept in a word.
__device__ inline void suppress_in_tile(const WordOverlaps& overlaps, int32_t* owners,
                                        int64_t begin, int word, TileState& state) {
  const uint64_t kept = state.kept[word];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
#pragma unroll
  for (int k = 0; k < WordOverlaps::kHeld; ++k) {
    const int i = k * kGreedyThreads + thread;
    const unsigned open = state.open[i / kWarp];
    const bool is_later = i >= (word + 1) * kWordBits && (open >> lane & 1);
    const uint64_t common = is_later ? overlaps.bits[k] & kept : 0;
    const unsigned gone = __ballot_sync(kAllLanes, common != 0);
    __syncwarp();  // a ballot alone does not order memory: all lanes have read what is open
    if (common != 0) {
      owners[i] = static_cast<int32_t>(begin + word * kWordBits + first_bit(common));
    }
    if (lane == 0 && gone != 0) state.open[i / kWarp] = open & ~gone;
  }
}

// Appends what stays in the tile to the list of what is kept.
template <typename T>
__device__ void append_kept(const GreedyLists<T>& lists, int64_t list, int64_t begin, int words,
                            const TileState& state, int32_t already) {
  int total = 0;
  for (int word = 0; word < words; ++word) {
    const uint64_t kept = state.kept[word];
    const int bit = static_cast<int>(threadIdx.x);
    if (bit < kWordBits && (kept >> bit & 1)) {
      const int before = __popcll(kept & ((uint64_t{1} << bit) - 1));
      const int64_t position = int64_t{already} + total + before;
      if (position < lists.keep) {
        lists.kept[list * lists.keep + position] =
            static_cast<int32_t>(begin + word * kWordBits + bit);
      }
    }
    total += __popcll(kept);
  }
  if (threadIdx.x == 0) {
    const int64_t end = int64_t{already} + total;
    lists.progress[list].kept_begin = already;
    lists.progress[list].kept_end = static_cast<int32_t>(end < lists.keep ? end : lists.keep);
  }
}

// Decides which boxes of a tile stay, by one block: what earlier tiles suppress is known.
template <typename T>
__device__ void decide_tile(const GreedyLists<T>& lists, int64_t list, int64_t tile) {
  S3FD_SHARED(TileState, state);
  const int64_t begin = tile * kTile, left = lists.count(list) - begin;
  const int size = static_cast<int>(left < kTile ? left : kTile);
  const int words = (size + kWordBits - 1) / kWordBits;
  int32_t* owners = lists.owners + list * lists.capacity + begin;
  const uint64_t* all_overlaps = lists.overlaps_of(list, tile);
  const int32_t already = lists.progress[list].kept_end;
  WordOverlaps overlaps;
  overlaps.read(all_overlaps, 0, size);
  for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kGreedyThreads) {
    const unsigned open = __ballot_sync(kAllLanes, i < size && owners[i] == kOpen);
    if (i % kWarp == 0) state.open[i / kWarp] = open;
  }
  for (int word = 0; word < words; ++word) {
    const WordOverlaps current = overlaps;
    current.share(word, state);
    if (word + 1 < words) overlaps.read(all_overlaps, word + 1, size);
    __syncthreads();
    if (threadIdx.x < kWarp) decide_word_of_tile(owners, begin, word, state);
    __syncthreads();
    if (state.kept[word] != 0) suppress_in_tile(current, owners, begin, word, state);
  }
  __syncthreads();
  append_kept(lists, list, begin, words, state, already);
}

// ---- Overlaps within the tiles

// Grid: blocks of boxes, words of their tile, lists.
template <typename T, bool kGrouped>
__global__ void __launch_bounds__(kGreedyThreads) tile_overlaps_kernel(GreedyLists<T> lists) {
  S3FD_SHARED(StoredBox<T>[kWordBits], boxes);
  S3FD_SHARED(T[kWordBits], areas);
  S3FD_SHARED(int64_t[kWordBits], groups);
  const int64_t list = blockIdx.z, count = lists.count(list);
  const int64_t i = int64_t{blockIdx.x} * kGreedyThreads + threadIdx.x;
  const int64_t of_block = i - threadIdx.x, tile = of_block / kTile;
  const int64_t first = tile * kTile + int64_t{blockIdx.y} * kWordBits;
  if (of_block >= count || first >= of_block + kGreedyThreads) return;

  const StoredBox<T>* all = lists.boxes + list * lists.capacity;
  const int64_t* all_groups = lists.groups + (kGrouped ? list * lists.capacity : 0);
  if (threadIdx.x < kWordBits && first + threadIdx.x < count) {
    boxes[threadIdx.x] = all[first + threadIdx.x];
    areas[threadIdx.x] = area<T>(boxes[threadIdx.x]);
    if constexpr (kGrouped) groups[threadIdx.x] = all_groups[first + threadIdx.x];
  }
  __syncthreads();
  if (i < count) {
    const StoredBox<T> box = all[i];
    const T box_area = area<T>(box);
    const int64_t group = kGrouped ? all_groups[i] : 0;
    const int before = static_cast<int>(i - first < kWordBits ? i - first : kWordBits);
    uint64_t bits = 0;
    for (int j = 0; j < before; ++j) {
      if (kGrouped && groups[j] != group) continue;
      if (lists.overlap(boxes[j], areas[j], box, box_area)) bits |= uint64_t{1} << j;
    }
    lists.overlaps_of(list, tile)[int64_t{blockIdx.y} * kTile + (i - tile * kTile)] = bits;
  }

  if (tile > 0) return;
  const int64_t first_tile = count < kTile ? count : kTile;
  const auto blocks = static_cast<unsigned>((first_tile + kGreedyThreads - 1) / kGreedyThreads);
  // Block b of the tile has the words up to its own boxes.
  constexpr unsigned kWordsPerBlock = kGreedyThreads / kWordBits;
  const unsigned arriving = kWordsPerBlock * blocks * (blocks + 1) / 2;
  if (is_last_block(&lists.progress[list].blocks_done, arriving)) decide_tile(lists, list, 0);
}

// ---- Later boxes against what stays in a tile

// The groups from one to another, or nothing where all boxes are of one.
template <bool kGrouped>
struct GroupRange {
  int64_t first, last;

  __device__ bool has(int64_t group) const { return first <= group && group <= last; }
};

template <>
struct GroupRange<false> {
  __device__ bool has(int64_t) const { return true; }
};

__device__ inline GroupRange<true> join(const GroupRange<true>& a, const GroupRange<true>& b) {
  return {min(a.first, b.first), max(a.last, b.last)};
}
__device__ inline GroupRange<false> join(const GroupRange<false>&, const GroupRange<false>&) {
  return {};
}

// Where the open boxes of a block are, and in which groups.
template <typename T, bool kGrouped>
struct Reach {
  Box<T> bounds;
  [[no_unique_address]] GroupRange<kGrouped> groups;

  // Of one box, or of none.
  static __device__ Reach of(bool exists, const Box<T>& box, int64_t group) {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    Reach reach{exists ? box : Box<T>{kInfinity, kInfinity, -kInfinity, -kInfinity}, {}};
    if constexpr (kGrouped) reach.groups = {exists ? group : kMost, exists ? group : -kMost - 1};
    return reach;
  }

  __device__ bool meets(const Box<T>& box, int64_t group) const {
    return box.x1 < bounds.x2 && box.x2 > bounds.x1 && box.y1 < bounds.y2 && box.y2 > bounds.y1 &&
           groups.has(group);
  }
};

template <typename T, bool kGrouped>
__device__ Reach<T, kGrouped> reach_of_block(bool open, const Box<T>& box, int64_t group) {
  using Reaches = Reach<T, kGrouped>;
  return reduce_over_block<kGreedyThreads>(
      Reaches::of(open, box, group), [](const Reaches& a, const Reaches& b) {
        return Reaches{{min(a.bounds.x1, b.bounds.x1), min(a.bounds.y1, b.bounds.y1),
                        max(a.bounds.x2, b.bounds.x2), max(a.bounds.y2, b.bounds.y2)},
                       join(a.groups, b.groups)};
      });
}

// Boxes that stay and that a block may meet, in the order of their scores.
template <typename T>
struct Suppressors {
  StoredBox<T> boxes[kGreedyThreads];
  T areas[kGreedyThreads];
  int32_t numbers[kGreedyThreads];
  int64_t groups[kGreedyThreads];
};

// Fills them with those of kept[begin ...] that are within reach; returns how many.
template <typename T, bool kGrouped>
__device__ int gather_suppressors(const GreedyLists<T>& lists, int64_t list, const int32_t* kept,
                                  int size, const Reach<T, kGrouped>& reach,
                                  Suppressors<T>& suppressors) {
  const int thread = static_cast<int>(threadIdx.x);
  int32_t number = 0;
  bool meets = false;
  const auto box_of = [&] { return lists.boxes[list * lists.capacity + number]; };
  const auto group_of = [&] {
    return kGrouped ? lists.groups[list * lists.capacity + number] : int64_t{0};
  };
  if (thread < size) {
    number = kept[thread];
    meets = reach.meets(box_of(), group_of());
  }
  int total;
  const int position = count_before<kGreedyThreads>(meets, total);
  if (meets) {  // read again: held meanwhile, it would take registers that aren't there
    const StoredBox<T> box = box_of();
    suppressors.boxes[position] = box;
    suppressors.areas[position] = area<T>(box);
    suppressors.numbers[position] = number;
    if constexpr (kGrouped) suppressors.groups[position] = group_of();
  }
  __syncthreads();
  return total;
}

// Compares the block's boxes with those that the last tile keeps, until none is open.
template <typename T, bool kGrouped>
__device__ void suppress_boxes_of_block(const GreedyLists<T>& lists, int64_t list, bool open,
                                        int32_t number, int32_t kept_begin, int32_t kept_end) {
  S3FD_SHARED(Suppressors<T>, suppressors);
  const StoredBox<T> box = open ? lists.boxes[list * lists.capacity + number] : StoredBox<T>{};
  const T box_area = area<T>(box);
  const int64_t group = kGrouped && open ? lists.groups[list * lists.capacity + number] : 0;
  open = open && is_proper<T>(box);
  const Reach<T, kGrouped> reach = reach_of_block<T, kGrouped>(open, box, group);
  for (int32_t begin = kept_begin; begin < kept_end; begin += kGreedyThreads) {
    const int size = min(kGreedyThreads, kept_end - begin);
    const int total = gather_suppressors<T, kGrouped>(
        lists, list, lists.kept + list * lists.keep + begin, size, reach, suppressors);
    for (int j = 0; open && j < total; ++j) {
      if (kGrouped && suppressors.groups[j] != group) continue;
      if (!lists.overlap(suppressors.boxes[j], suppressors.areas[j], box, box_area)) continue;
      lists.owners[list * lists.capacity + number] = suppressors.numbers[j];
      open = false;
    }
    if (!__syncthreads_or(open)) return;
  }
}

// Grid: blocks of boxes in their places, lists. Then decides the tile that comes next.
template <typename T, bool kGrouped>
__global__ void __launch_bounds__(kGreedyThreads, 4)
    suppress_later_kernel(GreedyLists<T> lists, int64_t tile) {
  const int64_t list = blockIdx.y, count = lists.count(list), end = (tile + 1) * kTile;
  const int64_t place = int64_t{blockIdx.x} * kGreedyThreads + threadIdx.x;
  if (count <= end || place - threadIdx.x >= count) return;
  // Without the count beside them, which blocks that have come to their end change meanwhile.
  const int32_t kept_begin = lists.progress[list].kept_begin;
  const int32_t kept_end = lists.progress[list].kept_end;
  if (kept_end >= lists.keep) return;
  bool open = place < count;
  int32_t number = 0;
  if (open) {
    number = lists.place == nullptr ? static_cast<int32_t>(place) : lists.place[place];
    open = number >= end && lists.owners[list * lists.capacity + number] == kOpen;
  }
  if (__syncthreads_or(open)) {
    suppress_boxes_of_block<T, kGrouped>(lists, list, open, number, kept_begin, kept_end);
  }
  const auto blocks = static_cast<unsigned>((count + kGreedyThreads - 1) / kGreedyThreads);
  if (is_last_block(&lists.progress[list].blocks_done, blocks)) {
    decide_tile(lists, list, tile + 1);
  }
}

// 64-bit words of GreedyLists::overlaps.
constexpr int64_t overlap_words(int64_t lists, int64_t capacity) {
  return lists * ceil_divide(capacity, kTile) * kTile * kWords;
}

// Decides all boxes: with owners kOpen and progress 0 at first, one launch and another one for each
// tile but the last.
template <typename T, bool kGrouped>
void suppress_greedily(const GreedyLists<T>& lists, int64_t num_lists, cudaStream_t stream) {
  const unsigned blocks = blocks_for(lists.capacity, kGreedyThreads).x;
  const auto grid_y = static_cast<unsigned>(num_lists);
  launch(tile_overlaps_kernel<T, kGrouped>, dim3(blocks, kWords, grid_y), kGreedyThreads, 0, stream,
         lists);
  for (int64_t tile = 0; (tile + 1) * kTile < lists.capacity; ++tile) {
    launch(suppress_later_kernel<T, kGrouped>, dim3(blocks, grid_y), kGreedyThreads, 0, stream,
           lists, tile);
  }
}

}  // namespace s3fd::cuda
