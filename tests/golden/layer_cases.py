"""The layers that are compared with Keras: what they are made with, what they get. Used by the test and by the script
that asks Keras."""

import numpy as np

IMAGE, TALL, LINE, CUBE = (2, 7, 6, 4), (2, 5, 9, 3), (2, 9, 4), (2, 5, 4, 6, 2)
ROWS, STEPS, FIELD = (3, 5), (2, 5, 6), (2, 3, 4, 3)
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)


def wave(shape, phase=0.0):
    """Numbers that look like none in particular, the same everywhere."""
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(1, n + 1) ** 1.1).reshape(shape)


def weight(name, shape, i):
    """The value of the weight number ``i``."""
    positive = "variance" in name or "stddev" in name
    return 0.7 + 0.5 * np.abs(wave(shape, i)) if positive else 0.6 * wave(shape, 1.0 + i)


def inputs(shapes):
    """Batches: a shape is one of numbers, ``("ids", shape, n)`` one of whole numbers below n."""
    out = []
    for i, shape in enumerate(shapes):
        if shape[0] == "ids":
            out.append((np.arange(int(np.prod(shape[1]))) * 7 % shape[2]).reshape(shape[1]).astype(np.int32))
        else:
            out.append(wave(shape, 0.3 * i))
    return out


def case(name, shapes, listed=False, call=None, **options):
    return {"layer": name, "shapes": [shapes] if not isinstance(shapes, list) else shapes, "listed": listed,
            "call": call or {}, "options": options}


CASES = [
    # dense
    case("Dense", ROWS, units=4), case("Dense", ROWS, units=3, activation="tanh", use_bias=False),
    case("Dense", STEPS, units=1, activation="gelu"), case("Dense", (1, 17), units=33, activation="relu"),
    case("EinsumDense", STEPS, equation="abc,cd->abd", output_shape=(None, 7), bias_axes="d"),
    case("EinsumDense", STEPS, equation="...x,xy->...y", output_shape=3, bias_axes="y", activation="relu"),
    case("EinsumDense", STEPS, equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
    case("EinsumDense", STEPS, equation="abc,bd->adc", output_shape=(7, None), bias_axes="d"),
    case("Embedding", [("ids", (3, 5), 11)], input_dim=11, output_dim=4),
    # activations
    case("Activation", ROWS, activation="softplus"), case("ReLU", ROWS),
    case("ReLU", ROWS, max_value=0.5, negative_slope=0.1, threshold=0.2), case("LeakyReLU", ROWS),
    case("LeakyReLU", ROWS, negative_slope=0.05), case("PReLU", STEPS), case("PReLU", IMAGE, shared_axes=(1, 2)),
    case("ELU", ROWS, alpha=0.7), case("Softmax", STEPS), case("Softmax", STEPS, axis=1),
    case("Softmax", STEPS, axis=(1, 2)),
    # convolutions
    case("Conv1D", LINE, filters=5, kernel_size=3), case("Conv1D", LINE, filters=4, kernel_size=4, padding="causal"),
    case("Conv1D", LINE, filters=4, kernel_size=3, padding="same", dilation_rate=2, groups=2, activation="relu"),
    case("Conv1D", LINE, filters=3, kernel_size=2, strides=3, padding="same", use_bias=False),
    case("Conv2D", IMAGE, filters=5, kernel_size=3),
    case("Conv2D", TALL, filters=3, kernel_size=(2, 4), padding="same"),
    case("Conv2D", IMAGE, filters=4, kernel_size=3, strides=(2, 1), padding="same", activation="tanh"),
    case("Conv2D", IMAGE, filters=6, kernel_size=(3, 2), groups=2, dilation_rate=(1, 2)),
    case("Conv2D", (2, 4, 6, 5), filters=3, kernel_size=3, data_format="channels_first", strides=2),
    case("Conv2D", IMAGE, filters=2, kernel_size=1, strides=2, use_bias=False),
    case("Conv3D", CUBE, filters=3, kernel_size=2), case("Conv3D", CUBE, filters=2, kernel_size=(1, 3, 3), strides=2,
                                                         padding="same"),
    case("Conv1DTranspose", LINE, filters=3, kernel_size=3, strides=2),
    case("Conv1DTranspose", LINE, filters=3, kernel_size=4, strides=3, padding="same"),
    case("Conv2DTranspose", TALL, filters=2, kernel_size=3, strides=2, padding="same", activation="relu"),
    case("Conv2DTranspose", TALL, filters=2, kernel_size=(3, 2), strides=(2, 3)),
    case("Conv2DTranspose", TALL, filters=2, kernel_size=3, strides=2, padding="same", output_padding=1),
    case("Conv2DTranspose", TALL, filters=2, kernel_size=3, dilation_rate=2),
    case("Conv3DTranspose", (1, 2, 3, 2, 2), filters=2, kernel_size=2, strides=2),
    case("DepthwiseConv1D", LINE, kernel_size=3, depth_multiplier=2),
    case("DepthwiseConv2D", IMAGE, kernel_size=3, padding="same"),
    case("DepthwiseConv2D", IMAGE, kernel_size=(3, 2), strides=2, depth_multiplier=3, activation="relu"),
    case("DepthwiseConv2D", IMAGE, kernel_size=2, dilation_rate=2, use_bias=False),
    case("SeparableConv1D", LINE, filters=5, kernel_size=3, padding="same"),
    case("SeparableConv2D", IMAGE, filters=5, kernel_size=3, depth_multiplier=2, activation="tanh"),
    case("SeparableConv2D", IMAGE, filters=2, kernel_size=2, strides=2, use_bias=False),
    # pooling
    case("MaxPooling1D", LINE), case("MaxPooling1D", LINE, pool_size=3, strides=2, padding="same"),
    case("MaxPooling2D", IMAGE), case("MaxPooling2D", TALL, pool_size=(3, 2), strides=1, padding="same"),
    case("MaxPooling2D", (2, 3, 5, 6), data_format="channels_first"), case("MaxPooling3D", CUBE),
    case("AveragePooling1D", LINE, pool_size=4, strides=3),
    case("AveragePooling2D", IMAGE, pool_size=2, padding="same"),
    case("AveragePooling2D", TALL, pool_size=3, strides=(1, 2)),
    case("AveragePooling3D", CUBE, pool_size=2, padding="same"),
    case("GlobalMaxPooling1D", LINE), case("GlobalMaxPooling2D", IMAGE, keepdims=True),
    case("GlobalMaxPooling3D", CUBE),
    case("GlobalAveragePooling1D", STEPS), case("GlobalAveragePooling1D", STEPS, call={"mask": MASK}),
    case("GlobalAveragePooling2D", IMAGE, data_format="channels_first"), case("GlobalAveragePooling3D", CUBE),
    # normalisation
    case("BatchNormalization", IMAGE), case("BatchNormalization", IMAGE, call={"training": True}),
    case("BatchNormalization", ROWS, momentum=0.8, epsilon=0.1, call={"training": True}),
    case("BatchNormalization", STEPS, axis=1, scale=False, call={"training": True}),
    case("BatchNormalization", STEPS, center=False, call={"training": True, "mask": MASK}),
    case("LayerNormalization", STEPS), case("LayerNormalization", IMAGE, axis=(1, 3), epsilon=0.01),
    case("LayerNormalization", ROWS, center=False, scale=False), case("GroupNormalization", IMAGE, groups=2),
    case("GroupNormalization", IMAGE, groups=-1), case("GroupNormalization", (2, 4, 6, 5), groups=2, axis=1),
    case("RMSNormalization", STEPS), case("UnitNormalization", STEPS), case("UnitNormalization", STEPS, axis=(1, 2)),
    case("Normalization", STEPS, mean=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], variance=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    case("Normalization", ROWS, axis=None, mean=0.5, variance=4.0, invert=True), case("Rescaling", ROWS, scale=0.5,
                                                                                      offset=-1.0),
    # shapes
    case("Flatten", IMAGE), case("Flatten", IMAGE, data_format="channels_first"),
    case("Reshape", STEPS, target_shape=(3, -1)), case("Permute", IMAGE, dims=(3, 1, 2)),
    case("RepeatVector", ROWS, n=3),
    case("ZeroPadding1D", LINE, padding=(2, 1)), case("ZeroPadding2D", IMAGE, padding=((1, 0), (2, 3))),
    case("ZeroPadding2D", IMAGE, padding=(1, 2), data_format="channels_first"), case("ZeroPadding3D", CUBE, padding=1),
    case("Cropping1D", LINE), case("Cropping2D", IMAGE, cropping=((1, 2), (0, 3))),
    case("Cropping3D", CUBE, cropping=((1, 1), (0, 1), (2, 2))), case("UpSampling1D", LINE, size=3),
    case("UpSampling2D", IMAGE, size=(2, 3)), case("UpSampling2D", IMAGE, size=2, interpolation="bilinear"),
    case("UpSampling2D", IMAGE, size=2, data_format="channels_first"),
    case("UpSampling3D", (1, 2, 3, 2, 2), size=(2, 1, 3)),
    case("Masking", STEPS, mask_value=0.5), case("ActivityRegularization", ROWS, l1=0.3, l2=0.2),
    # merging
    *(case(name, [ROWS, ROWS], listed=True)
      for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")),
    case("Add", [STEPS, STEPS, (2, 1, 6)], listed=True), case("Multiply", [STEPS, (2, 6)], listed=True),
    case("Concatenate", [STEPS, (2, 5, 2)], listed=True), case("Concatenate", [STEPS, (2, 3, 6)], listed=True, axis=1),
    case("Dot", [STEPS, (2, 6, 3)], listed=True, axes=(2, 1)), case("Dot", [ROWS, ROWS], listed=True, axes=1),
    case("Dot", [STEPS, STEPS], listed=True, axes=-1, normalize=True),
    case("Dot", [STEPS, (2, 5)], listed=True, axes=1),
    # attention
    case("MultiHeadAttention", [STEPS, STEPS], num_heads=2, key_dim=3),
    case("MultiHeadAttention", [STEPS, (2, 4, 3), (2, 4, 5)], num_heads=3, key_dim=2, output_shape=7),
    case("MultiHeadAttention", [STEPS, STEPS], num_heads=2, key_dim=3, use_bias=False, call={"use_causal_mask": True}),
    case("MultiHeadAttention", [STEPS, STEPS], num_heads=1, key_dim=4, call={"value_mask": MASK}),
    case("MultiHeadAttention", [STEPS, STEPS], num_heads=2, key_dim=3, call={
        "attention_mask": MASK[:, None, :] & np.ones((2, 5, 1), bool)}),
    case("Attention", [STEPS, STEPS], listed=True), case("Attention", [STEPS, (2, 4, 6), (2, 4, 6)], listed=True,
                                                         use_scale=True, score_mode="concat"),
    case("Attention", [STEPS, STEPS], listed=True, use_scale=True, call={"use_causal_mask": True}),
    case("Attention", [STEPS, STEPS], listed=True, call={"mask": [MASK, MASK]}),
    case("AdditiveAttention", [STEPS, STEPS], listed=True), case("AdditiveAttention", [STEPS, STEPS], listed=True,
                                                                 use_scale=False, call={"mask": [None, MASK]}),
    case("MultiHeadAttention", [FIELD, (2, 2, 4, 3)], num_heads=2, key_dim=2, use_gate=True, output_shape=(2, 3)),
    case("MultiHeadAttention", [FIELD, (2, 3, 5, 3)], num_heads=2, key_dim=3, attention_axes=2, value_dim=2),
    case("MultiHeadAttention", [STEPS, STEPS], num_heads=2, key_dim=3, sliding_window=2, use_gate=True, call={
        "use_causal_mask": True}),
    # activations, sizes and statistics that came later
    *(case("Activation", STEPS, activation=name) for name in (
        "hard_shrink", "soft_shrink", "tanh_shrink", "sparse_plus", "sparse_sigmoid")),
    case("ReLU", ROWS, threshold=0.3),
    case("Softmax", STEPS, call={"mask": MASK[:, :, None] & np.ones((2, 5, 6), bool)}),
    case("UpSampling2D", IMAGE, size=(2, 3), interpolation="bicubic"),
    case("UpSampling2D", TALL, size=(3, 1), interpolation="lanczos3"),
    case("UpSampling2D", IMAGE, size=2, data_format="channels_first", interpolation="lanczos5"),
    case("BatchNormalization", STEPS, renorm=True, renorm_clipping={"rmin": 0.5, "rmax": 1.5, "dmax": 0.4},
         call={"training": True}),
    case("BatchNormalization", STEPS, renorm=True, scale=False, momentum=0.7, renorm_momentum=0.9,
         call={"training": True}),
    case("Normalization", IMAGE, axis=(1, 3), mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0]),
]
IDS = [f"{i}-{c['layer']}" for i, c in enumerate(CASES)]
