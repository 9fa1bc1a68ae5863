#include "cuda/multibox_loss.cuh"

#include <algorithm>
#include <tuple>

#include "cuda/primitives/host.h"
#include "cuda/primitives/prepare.cuh"
#include "cuda/primitives/workspace.h"
#include "shared/operators/multibox_loss.h"

namespace s3fd::cuda {
namespace {

// About as many blocks as run side by side on a large card.
constexpr int64_t kBlocks = 512;

template <typename T>
BatchRows<T> batch_rows(const Tensor& tensor) {
  return {data<T>(tensor), tensor.stride(0), tensor.stride(1),
          tensor.dim() == 3 ? tensor.stride(2) : 1};
}

template <typename T>
LogitRows<T> logit_rows(const Tensor& logits) {
  return {batch_rows<T>(logits), can_be_packed(logits, 2, 2)};
}

template <typename U>
LossTargets<U> loss_targets(const LossCall& call) {
  using C = compute_t<U>;
  return {batch_rows<U>(call.deltas),
          can_be_packed(call.deltas, 2, 4),
          data<C>(call.anchors),
          call.anchors.stride(0),
          call.anchors.stride(1),
          reinterpret_cast<const Box<C>*>(data<C>(call.boxes)),
          Variances<C>::of(call.centre_variance, call.size_variance)};
}

Chunks cut_into_chunks(const Tensor& kept) {
  const int64_t images = kept.size(0), anchors = kept.size(1);
  STD_TORCH_CHECK(anchors < int64_t{1} << 31,
                  "s3fd::multibox_loss: expected less than 2^31 anchors");
  const int64_t rounds =
      std::min(ceil_divide(kept.numel(), kLossRound * kBlocks), ceil_divide(anchors, kLossRound));
  const int64_t length = rounds * kLossRound;
  return {images, static_cast<uint32_t>(anchors), static_cast<uint32_t>(length),
          static_cast<uint32_t>(ceil_divide(anchors, length))};
}

// The memory of a call, of which the counts start at 0.
template <typename Key>
struct MiningMemory {
  Workspace workspace;
  Mining<Key> mining;

  MiningMemory(const Chunks& chunks, double negative_ratio, const Tensor& like,
               cudaStream_t stream) {
    const int64_t images = chunks.images, blocks = images * chunks.per_image;
    const auto histograms = workspace.add<uint32_t>(images * kSharedDigits * Digits<Key>::kBins);
    const auto counts = workspace.add<uint32_t>(images * 2);
    const auto arrived = workspace.add<uint32_t>(1 + images);
    const auto selections = workspace.add<Selection<Key>>(images);
    const auto listed = workspace.add<Key>(images * chunks.anchors);
    const auto num_listed = workspace.add<uint32_t>(blocks), ties = workspace.add<uint32_t>(blocks);
    const auto class_sums = workspace.add<double>(blocks), box_sums = workspace.add<double>(blocks);
    workspace.allocate(like);
    workspace.clear(histograms, arrived, stream);
    mining = {workspace.at(histograms), workspace.at(counts),
              workspace.at(arrived),    workspace.at(selections),
              workspace.at(listed),     workspace.at(num_listed),
              workspace.at(ties),       workspace.at(class_sums),
              workspace.at(box_sums),   negative_ratio};
  }
};

LossOutput loss_output(const Tensor& loss) {
  return {loss.mutable_data_ptr(), loss.scalar_type() == ScalarType::Double};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> loss_of(const LossCall& call, double negative_ratio) {
  const Tensor &logits = call.logits, &deltas = call.deltas;
  const OnDeviceOf device(logits);
  const cudaStream_t stream = device.stream();
  Tensor kept = empty({logits.size(0), logits.size(1)}, ScalarType::Byte, logits);
  if (kept.numel() == 0) {
    return {zeros({}, computed_in(logits), logits, stream),
            zeros({}, computed_in(deltas), logits, stream), kept,
            zeros({2}, ScalarType::Long, logits, stream)};
  }
  Tensor class_loss = empty({}, computed_in(logits), logits);
  Tensor box_loss = empty({}, computed_in(deltas), logits);
  Tensor counts = empty({2}, ScalarType::Long, logits);
  auto* marks = mutable_data<uint8_t>(kept);
  const LossOutputs outputs{loss_output(class_loss), loss_output(box_loss),
                            mutable_data<int64_t>(counts)};
  const Chunks chunks = cut_into_chunks(kept);
  const SplitsOnDevice begins(call.splits, logits, stream);
  const dim3 blocks = blocks_for(chunks.images * chunks.per_image, 1);
  dispatch_floating(logits.scalar_type(), "multibox_loss", [&]<typename T>() {
    using Key = MarginKey<compute_t<T>>;
    const MiningMemory<Key> memory(chunks, negative_ratio, logits, stream);
    const LogitRows<T> rows = logit_rows<T>(logits);
    dispatch_floating(deltas.scalar_type(), "multibox_loss", [&]<typename U>() {
      launch(label_kernel<T, U>, blocks, kLossThreads, 0, stream, rows,
             batch_rows<int64_t>(call.matched), loss_targets<U>(call), begins.argument(),
             memory.mining, chunks, marks);
    });
    launch(select_kernel<T>, blocks, kLossThreads, 0, stream, rows, memory.mining, chunks, marks);
    launch(mark_kernel<T>, blocks, kLossThreads, 0, stream, rows, memory.mining, chunks, outputs,
           marks);
  });
  return {class_loss, box_loss, kept, counts};
}

std::tuple<Tensor, Tensor> gradient_of(const LossCall& call, const LossResults& results) {
  const Tensor &logits = call.logits, &deltas = call.deltas, &kept = results.kept;
  const Tensor &of_class = results.class_gradient, &of_boxes = results.box_gradient;
  const OnDeviceOf device(logits);
  const int64_t images = logits.size(0), size = logits.size(1);
  const SplitsOnDevice begins(call.splits, logits, device.stream());
  Tensor of_logits = empty({images, size, 2}, logits.scalar_type(), logits);
  Tensor of_deltas = empty({images, size, 4}, deltas.scalar_type(), logits);
  const LossGradients gradients{{of_class.const_data_ptr(), of_class.scalar_type()},
                                {of_boxes.const_data_ptr(), of_boxes.scalar_type()},
                                data<int64_t>(results.counts)};
  dispatch_floating(logits.scalar_type(), "multibox_loss_backward", [&]<typename T>() {
    dispatch_floating(deltas.scalar_type(), "multibox_loss_backward", [&]<typename U>() {
      launch(
          multibox_loss_backward_kernel<T, U>,
          blocks_for(kept.numel(), kGradientThreads * kGradientBatch), kGradientThreads, 0,
          device.stream(), gradients, logit_rows<T>(logits), batch_rows<int64_t>(call.matched),
          loss_targets<U>(call), begins.argument(), data<uint8_t>(kept), size, kept.numel(),
          LossGradientOutputs<T, U>{reinterpret_cast<Packed<T, 2>*>(mutable_data<T>(of_logits)),
                                    reinterpret_cast<Packed<U, 4>*>(mutable_data<U>(of_deltas))});
    });
  });
  return {of_logits, of_deltas};
}

}  // namespace
}  // namespace s3fd::cuda

S3FD_REGISTER_KERNELS(library) {
  s3fd::register_multibox_loss<s3fd::cuda::loss_of, s3fd::cuda::gradient_of>(library);
}
