"""Layers of Keras with the same weights, names and results, computed in fewer passes over memory by TensorFlow.

Keras composes batch normalisation of a dozen operations and differentiates swish by six; half of a training step
of EfficientNet goes there. Everything here is its Keras layer where TensorFlow is not the backend or an option is
used that the faster way lacks. Saved networks name these classes, so that this module must be imported before one
is loaded (models.saved does).
"""

from collections.abc import Callable

import keras
import tensorflow as tf

#: side of the largest depthwise kernel whose gradient oneDNN computes faster than TensorFlow
_ONEDNN_KERNEL = 3


@keras.saving.register_keras_serializable(package="lensfold")
class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization whose batch statistics, output and gradient are one operation each.

    Input (n, rows, columns, channels), float32 or a 16-bit float with statistics in float32.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalise by the batch in training, by the moving statistics otherwise and where the layer is frozen."""
        if not (training and self.trainable and self._is_fusable(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )
        # the operation divides the sum of squares by n - 1, Keras by n
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        variance *= tf.maximum(count - 1.0, 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _is_fusable(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> bool:
        plain = self.center and self.scale and not self.renorm and not self.synchronized and mask is None
        return (
            keras.backend.backend() == "tensorflow"
            and plain
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype in (tf.float32, tf.float16, tf.bfloat16)
        )


@keras.saving.register_keras_serializable(package="lensfold")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """keras.layers.DepthwiseConv2D whose larger kernels' gradient is computed by TensorFlow's own code.

    That of oneDNN takes two to four times as long for 5 x 5 kernels, while its convolutions, and its gradients of 3 x 3
    kernels, take half of TensorFlow's time. It leaves operations with explicit padding to TensorFlow.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Convolve each channel with its own kernel."""
        if not (training and self.kernel_size[0] > _ONEDNN_KERNEL and self._is_fusable(inputs)):
            return super().call(inputs)
        return _depthwise(inputs, tf.convert_to_tensor(self.kernel), self.strides[0], self.padding.upper())

    def _is_fusable(self, inputs: tf.Tensor) -> bool:
        plain = not self.use_bias and self.activation is keras.activations.linear
        square = self.strides[0] == self.strides[1] and self.dilation_rate in (1, (1, 1))
        known = None not in inputs.shape[1:3]
        channels_last = self.data_format == "channels_last"
        return keras.backend.backend() == "tensorflow" and plain and square and known and channels_last


@keras.saving.register_keras_serializable(package="lensfold")
class Swish(keras.layers.Layer):
    """x * sigmoid(x) (Ramachandran et al. 2017, arXiv:1710.05941), which keeps the sigmoid for its gradient."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return swish of every number."""
        fusable = training and keras.backend.backend() == "tensorflow"
        return _swish(inputs) if fusable else keras.ops.silu(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape


def faster(layer: keras.layers.Layer, name: str) -> keras.layers.Layer:
    """Return a new layer of another name that gives what ``layer`` gives, of a class from here where there is one."""
    settings = layer.get_config() | {"name": name}
    if isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.silu:
        return Swish.from_config({key: settings[key] for key in ("name", "trainable", "dtype")})
    kinds: dict[type[keras.layers.Layer], type[keras.layers.Layer]] = {
        keras.layers.BatchNormalization: BatchNormalization,
        keras.layers.DepthwiseConv2D: DepthwiseConv2D,
    }
    return kinds.get(type(layer), type(layer)).from_config(settings)


@tf.custom_gradient
def _swish(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    sigmoid = tf.sigmoid(x)
    swish = x * sigmoid
    return swish, lambda upstream: upstream * (sigmoid + swish * (1 - sigmoid))


def _depthwise(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    strides = [1, stride, stride, 1]
    explicit = [0, 0, *_padding(x, kernel, 1, stride, padding), *_padding(x, kernel, 2, stride, padding), 0, 0]

    @tf.custom_gradient
    def convolved(
        x: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            by_input = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, strides=strides, padding=padding
            )
            by_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=strides,
                padding="EXPLICIT",
                explicit_paddings=explicit,
            )
            return by_input, by_kernel

        return tf.nn.depthwise_conv2d(x, kernel, strides, padding), gradient

    return convolved(x, kernel)


def _padding(x: tf.Tensor, kernel: tf.Tensor, axis: int, stride: int, padding: str) -> tuple[int, int]:
    """Return rows (axis 1) or columns (axis 2) of zeros before and after, as TensorFlow's "same" padding sets them."""
    if padding == "VALID":
        return 0, 0
    size, taps = x.shape[axis], kernel.shape[axis - 1]
    total = max(0, (-(-size // stride) - 1) * stride + taps - size)
    return total // 2, total - total // 2
