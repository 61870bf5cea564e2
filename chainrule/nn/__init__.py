"""Functions of neural networks, in NumPy's style: on arrays they compute, on traced arrays they record themselves.

All are composites of recorded operations: derivatives of any order, ``vmap`` and compiled code come with them. Layers
are built on them; activations and losses have their own modules, whose activations are also here.

Example:
    >>> import chainrule as cr
    >>> image, kernel = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> cr.grad(lambda k: np.sum(cr.nn.relu(cr.nn.conv(image, k))))(kernel)[0, 0, 0]
    array([4., 4.])
"""

from chainrule.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from chainrule.nn.attention import dot_product_attention
from chainrule.nn.convolution import conv, conv_transpose
from chainrule.nn.lookup import embedding, one_hot
from chainrule.nn.normalization import batch_norm, group_norm, layer_norm, moments, rms_norm
from chainrule.nn.pooling import avg_pool, global_avg_pool, global_max_pool, max_pool
from chainrule.nn.recurrent import gru, lstm, rnn
from chainrule.nn.resize import resize
from chainrule.nn.stochastic import dropout
from chainrule.numpy import logsumexp

__all__ = [
    "avg_pool", "batch_norm", "celu", "conv", "conv_transpose", "dot_product_attention", "dropout", "elu",
    "embedding", "gelu", "global_avg_pool", "global_max_pool", "glu", "group_norm", "gru", "hard_shrink",
    "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "layer_norm", "leaky_relu", "log_sigmoid",
    "log_softmax", "logsumexp", "lstm", "max_pool", "mish", "moments", "one_hot", "relu", "relu6", "resize",
    "rms_norm", "rnn", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]
