"""The half types: ``float16`` is NumPy's, ``bfloat16`` comes with the package ``ml_dtypes``, an extra.

Arrays of both are plain ``numpy.ndarray``; arithmetic goes through float32 and rounds every result once
(``chainrule.dtypes`` says more). bfloat16 has float32's range and 8 significant bits, float16 has 11 and ends at 65504.

Example:
    >>> import numpy as np, chainrule as cr
    >>> from chainrule.half import bfloat16
    >>> x = np.asarray([1.0, 2.0, 3.0], bfloat16)
    >>> cr.grad(lambda x: np.sum(x * x))(x)
    array([2, 4, 6], dtype=bfloat16)
"""

from numpy import float16

from chainrule.errors import MissingExtra

try:
    from ml_dtypes import bfloat16
except ImportError as error:
    raise MissingExtra.of("bfloat16 needs the package ml_dtypes, which is not installed",
                          "the extra named bfloat16", "pip install chainrule[bfloat16]") from error

__all__ = ["bfloat16", "float16"]
