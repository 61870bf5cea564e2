"""Random arrays from counter-based keys. A key is a uint32 array of shape (2,), made by :func:`key`.

A random number is a function of its key and its position: nothing is stored, and nothing depends on what was drawn
before. The same key gives the same random bits called plainly, recorded, and compiled, whatever the number of threads.
Floats are functions of these bits: between plain and compiled calls they agree to within the few units in
the last place that NumPy's and Chainrule's own ``log``, ``cos`` … are apart. Where such a float is compared with
another (categories, gamma and Poisson rejection), which happens in float64, a tie to the last bits may go either way.

Use every key once: :func:`split` and :func:`fold_in` make more of one, also with traced numbers, so that a loop draws
anew in each of its steps.

Distributions take ``key``, then their own parameters, which broadcast against each other, ``shape`` and ``dtype``
(float32 by default, whatever the parameters are; int64 for counts). ``shape=None`` is what the parameters broadcast to.
Continuous ones are differentiable by their parameters.

Example:
    >>> from chainrule import random
    >>> first, second = random.split(random.key(42))
    >>> random.normal(first, (2, 3)).shape
    (2, 3)
    >>> import chainrule as cr
    >>> cr.grad(lambda s: np.mean(random.normal(first, (1000,), np.float64, scale=s) ** 2))(2.0).round()
    np.float64(4.0)
"""

from chainrule.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    truncated_normal,
    uniform,
)
from chainrule.random.counts import binomial, poisson
from chainrule.random.discrete import bernoulli, categorical, choice, permutation, rademacher, randint
from chainrule.random.gammas import beta, dirichlet, gamma
from chainrule.random.keys import bits, fold_in, generator, key, set_seed, split
from chainrule.random.vectors import ball, multivariate_normal, sphere

__all__ = [
    "ball", "bernoulli", "beta", "binomial", "bits", "categorical", "cauchy", "choice", "dirichlet", "exponential",
    "fold_in", "gamma", "generator", "gumbel", "key", "laplace", "logistic", "multivariate_normal", "normal",
    "permutation", "poisson", "rademacher", "randint", "set_seed", "sphere", "split", "truncated_normal", "uniform",
]
