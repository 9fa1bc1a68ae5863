// Sorting of several lists at once, whose lengths only the device knows.
//
// Blocks sort tiles of 32 KiB in shared memory. What fits one tile is done then, in one launch. Of
// a longer list every entry counts, by bisection in each other tile, how many go before it: entries
// that are neighbours in a tile take nearly the same steps, so that a warp reads a sector or two in
// each. Bytes: the entries once, longer lists twice more, and their bisections from the L2 cache,
// n * tiles * log2(tile) / 32 sectors. Bisections wait for one another, log2(tile) loads a tile:
// one list of more than kMostRanked entries is sorted by radix instead (radix_sort.h), in four
// passes, or eight for keys of 64 bits, behind a kernel that lists its entries and before one that
// gives them to the sink. Several such lists are not: they keep the multiprocessors busy side by
// side, where a radix sort would take them one after the other. No entry is equal to another, so
// that the order is one and the same on every run, whichever way it is found.
#pragma once

#include <bit>

#include "cuda/primitives/host.h"
#include "cuda/primitives/launch.h"
#include "cuda/primitives/radix_sort.h"
#include "cuda/primitives/warp.cuh"
#include "cuda/primitives/workspace.h"

namespace s3fd::cuda {

// An entry of 64 bits has its key in the upper half, and in the lower one a number of its own.
using NarrowEntry = uint64_t;

// The same for keys of 64 bits.
struct WideEntry {
  uint64_t key;
  uint32_t number;

  friend __device__ bool operator<(const WideEntry& a, const WideEntry& b) {
    return a.key != b.key ? a.key < b.key : a.number < b.number;
  }
};

__device__ inline NarrowEntry make_entry(uint32_t key, uint32_t number) {
  return uint64_t{key} << 32 | number;
}
__device__ inline WideEntry make_entry(uint64_t key, uint32_t number) { return {key, number}; }

__device__ inline uint32_t number_of(NarrowEntry entry) { return static_cast<uint32_t>(entry); }
__device__ inline uint32_t number_of(const WideEntry& entry) { return entry.number; }

// What a radix sort takes an entry apart into, beside its number, and what it is put together from.
__device__ inline uint64_t radix_key(NarrowEntry entry) { return entry; }
__device__ inline uint64_t radix_key(const WideEntry& entry) { return entry.key; }

template <typename Entry>
__device__ Entry entry_of(uint64_t key, uint32_t number) {
  if constexpr (std::is_same_v<Entry, WideEntry>) {
    return {key, number};
  } else {
    return key;
  }
}

// Goes behind all entries that there are.
template <typename Entry>
__device__ Entry last_entry() {
  if constexpr (std::is_same_v<Entry, WideEntry>) {
    return {~uint64_t{0}, ~uint32_t{0}};
  } else {
    return ~Entry{0};
  }
}

constexpr int kSortThreads = 1024, kRankThreads = 256;

template <typename Entry>
constexpr int kSortTile = 32768 / sizeof(Entry);

// Entries that a warp sorts by itself, without a barrier of the block.
constexpr int kSortChunk = 4 * kWarp;

// Puts a pair of entries, that lie `step` apart, into the order of the run that they are in.
template <typename Entry>
__device__ void order_pair(Entry* entries, int pair, int step, int run) {
  const int low = 2 * pair - (pair & (step - 1)), high = low + step;
  const Entry first = entries[low], second = entries[high];
  const bool rises = (low & run) == 0;
  if (rises ? second < first : first < second) {
    entries[low] = second;
    entries[high] = first;
  }
}

// Takes runs of `first_run` to `last_run` entries, of each the steps that stay within a chunk.
template <typename Entry>
__device__ void sort_in_chunks(Entry* entries, int size, int first_run, int last_run) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  for (int begin = thread / kWarp * kSortChunk; begin < size;
       begin += static_cast<int>(blockDim.x) / kWarp * kSortChunk) {
    const int end = min(begin + kSortChunk, size) / 2;  // of the chunk's pairs
    for (int run = first_run; run <= last_run; run *= 2) {
      for (int step = min(run, kSortChunk) / 2; step > 0; step /= 2) {
        for (int pair = begin / 2 + lane; pair < end; pair += kWarp) {
          order_pair(entries, pair, step, run);
        }
        __syncwarp();
      }
    }
  }
}

// Sorts as many entries as a power of two in shared memory: Batcher's bitonic network. Of its 78
// steps for 4096 entries 15 take entries of several chunks, each with a barrier behind it; those
// between them are a warp's own.
template <typename Entry>
__device__ void sort_in_block(Entry* entries, int size) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  __syncthreads();
  sort_in_chunks(entries, size, 2, min(size, kSortChunk));
  __syncthreads();
  for (int run = 2 * kSortChunk; run <= size; run *= 2) {
    for (int step = run / 2; step >= kSortChunk; step /= 2) {
      for (int pair = thread; pair < size / 2; pair += threads) {
        order_pair(entries, pair, step, run);
      }
      __syncthreads();
    }
    sort_in_chunks(entries, size, run, run);
    __syncthreads();
  }
}

// How many of the sorted entries go before one.
template <typename Entry>
__device__ int count_smaller(const Entry* sorted, int size, const Entry& entry) {
  int before = 0;
  while (size > 0) {
    const int half = size / 2;
    if (sorted[before + half] < entry) {
      before += half + 1;
      size -= half + 1;
    } else {
      size = half;
    }
  }
  return before;
}

// A source has the type Entry, count(list), and (list, i) for the entries; a sink takes (list,
// rank, entry).
template <typename Source, typename Sink>
__global__ void __launch_bounds__(kSortThreads)
    sort_tiles_kernel(Source source, Sink sink, typename Source::Entry* sorted, int64_t capacity) {
  using Entry = typename Source::Entry;
  constexpr int kSize = kSortTile<Entry>;
  S3FD_SHARED(Entry[kSize], tile);
  const int64_t list = blockIdx.y, begin = int64_t{blockIdx.x} * kSize;
  const int64_t count = source.count(list);
  if (begin >= count) return;
  const int size = static_cast<int>(count - begin < kSize ? count - begin : kSize);
  const int padded = static_cast<int>(std::bit_ceil(static_cast<unsigned>(size)));
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < padded; i += threads) {
    tile[i] = i < size ? source(list, begin + i) : last_entry<Entry>();
  }
  sort_in_block(tile, padded);
  for (int i = thread; i < size; i += threads) {
    if (count <= kSize) {
      sink(list, i, tile[i]);
    } else {
      sorted[list * capacity + begin + i] = tile[i];
    }
  }
}

template <typename Source, typename Sink>
__global__ void __launch_bounds__(kRankThreads)
    rank_entries_kernel(Source source, Sink sink, const typename Source::Entry* sorted,
                        int64_t capacity) {
  using Entry = typename Source::Entry;
  constexpr int kSize = kSortTile<Entry>;
  const int64_t list = blockIdx.y, i = int64_t{blockIdx.x} * kRankThreads + threadIdx.x;
  const int64_t count = source.count(list);
  if (count <= kSize || i >= count) return;
  const Entry* entries = sorted + list * capacity;
  const Entry entry = entries[i];
  const int64_t own = i / kSize * kSize;
  int64_t rank = i - own;
  for (int64_t begin = 0; begin < count; begin += kSize) {
    if (begin == own) continue;
    const int size = static_cast<int>(count - begin < kSize ? count - begin : kSize);
    rank += count_smaller(entries + begin, size, entry);
  }
  sink(list, rank, entry);
}

// ---- By radix

// The first of its bits that a list has to be sorted by: entries whose numbers rise need not be
// sorted by these, since a radix sort leaves equal keys in their order.
template <typename Source>
constexpr int first_radix_bit() {
  constexpr bool is_wide = std::is_same_v<typename Source::Entry, WideEntry>;
  static_assert(!is_wide || Source::kNumbersRise, "a key of 64 bits has no room for a number");
  return !is_wide && Source::kNumbersRise ? 32 : 0;
}

template <typename Source>
__global__ void __launch_bounds__(kRankThreads)
    list_entries_kernel(Source source, uint64_t* keys, uint32_t* numbers, int64_t capacity) {
  using Entry = typename Source::Entry;
  const int64_t i = int64_t{blockIdx.x} * kRankThreads + threadIdx.x;
  if (i >= capacity) return;
  const Entry entry = i < source.count(0) ? source(0, i) : last_entry<Entry>();
  keys[i] = radix_key(entry);
  numbers[i] = number_of(entry);
}

template <typename Source, typename Sink>
__global__ void __launch_bounds__(kRankThreads)
    place_entries_kernel(Source source, Sink sink, const uint64_t* keys, const uint32_t* numbers) {
  const int64_t i = int64_t{blockIdx.x} * kRankThreads + threadIdx.x;
  if (i >= source.count(0)) return;
  sink(0, i, entry_of<typename Source::Entry>(keys[i], numbers[i]));
}

// ---- All together

// One list of more entries is sorted by radix.
constexpr int64_t kMostRanked = 32768;

inline bool is_sorted_by_radix(int64_t lists, int64_t capacity) {
  return lists == 1 && capacity > kMostRanked;
}

// What sorting takes of a workspace, once the memory is there.
struct SortMemory {
  Workspace::Array<unsigned char> tiles;
  Workspace::Array<uint64_t> keys[2];
  Workspace::Array<uint32_t> numbers[2];
  Workspace::Array<unsigned char> temporary;
  size_t temporary_bytes;
};

// For lists of Entry, or of smaller ones.
template <typename Entry>
SortMemory add_sort_memory(Workspace& workspace, int64_t lists, int64_t capacity) {
  const bool by_radix = is_sorted_by_radix(lists, capacity);
  const bool ranked = !by_radix && capacity > kSortTile<Entry>;
  const int64_t size = by_radix ? capacity : 0;
  const size_t temporary = by_radix ? radix_sort_bytes(capacity) : 0;
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Entry));
  return {workspace.add<unsigned char>(ranked ? lists * capacity * kBytes : 0),
          {workspace.add<uint64_t>(size), workspace.add<uint64_t>(size)},
          {workspace.add<uint32_t>(size), workspace.add<uint32_t>(size)},
          workspace.add<unsigned char>(static_cast<int64_t>(temporary)),
          temporary};
}

template <typename Source, typename Sink>
void sort_by_radix(const Source& source, const Sink& sink, const Workspace& workspace,
                   const SortMemory& memory, int64_t capacity, cudaStream_t stream) {
  const dim3 blocks = blocks_for(capacity, kRankThreads);
  const RadixLists lists{{workspace.at(memory.keys[0]), workspace.at(memory.keys[1])},
                         {workspace.at(memory.numbers[0]), workspace.at(memory.numbers[1])}};
  launch(list_entries_kernel<Source>, blocks, kRankThreads, 0, stream, source, lists.keys[0],
         lists.numbers[0], capacity);
  const int sorted = radix_sort(workspace.at(memory.temporary), memory.temporary_bytes, lists,
                                capacity, first_radix_bit<Source>(), stream);
  launch(place_entries_kernel<Source, Sink>, blocks, kRankThreads, 0, stream, source, sink,
         lists.keys[sorted], lists.numbers[sorted]);
}

// Gives the sink every entry of every list with its rank. `memory`: for as many lists of the
// capacity.
template <typename Source, typename Sink>
void sort_lists(const Source& source, const Sink& sink, const Workspace& workspace,
                const SortMemory& memory, int64_t lists, int64_t capacity, cudaStream_t stream) {
  if (is_sorted_by_radix(lists, capacity)) {
    sort_by_radix(source, sink, workspace, memory, capacity, stream);
    return;
  }
  using Entry = typename Source::Entry;
  auto* sorted = reinterpret_cast<Entry*>(workspace.at(memory.tiles));
  const int64_t tiles = ceil_divide(capacity, kSortTile<Entry>);
  unsigned threads = kWarp;
  while (threads < kSortThreads && int64_t{threads} * 2 < capacity) threads *= 2;
  const auto grid_y = static_cast<unsigned>(lists);
  launch(sort_tiles_kernel<Source, Sink>, dim3(static_cast<unsigned>(tiles), grid_y), threads, 0,
         stream, source, sink, sorted, capacity);
  if (tiles <= 1) return;
  launch(rank_entries_kernel<Source, Sink>, dim3(blocks_for(capacity, kRankThreads).x, grid_y),
         kRankThreads, 0, stream, source, sink, sorted, capacity);
}

}  // namespace s3fd::cuda
