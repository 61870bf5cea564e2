"""Fourier transforms, under NumPy's names. Complex numbers: NumPy computes them, also in a jitted function.

Example:
    >>> import chainrule as cr
    >>> from chainrule import numpy as cnp
    >>> energy = lambda x: cnp.sum(cnp.abs(cnp.fft.rfft(x)) ** 2)
    >>> cr.grad(energy)(cnp.asarray([1.0, 2.0, 4.0]))
    array([10., 13., 19.])
"""

from numpy.fft import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)

from chainrule.numpy.standard import fftfreq, rfftfreq

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]
