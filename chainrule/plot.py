"""Pictures of training with matplotlib: the ways that optimizers take over a function of two variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.arguments import whole
from chainrule.descent import MinimizeResult
from chainrule.errors import ArgumentError, MissingExtra
from chainrule.tracebacks import public

try:
    from matplotlib import pyplot
except ModuleNotFoundError:
    raise MissingExtra.of("chainrule.plot needs the package matplotlib, which is not installed",
                          "the extra 'pictures'", "pip install 'chainrule[pictures]'") from None

_MARGIN = 0.15  # of the extent of the paths, around them


@public
def path(f: Callable[..., Any], result: MinimizeResult | Mapping[str, MinimizeResult] | Sequence[MinimizeResult], *,
         args: Sequence[Any] = (), ax: Any = None, levels: int = 24, points: int = 80,
         limits: tuple[tuple[float, float], tuple[float, float]] | None = None) -> Any:
    """Draw the contours of a function of two variables, and the way of :func:`~chainrule.minimize` over them.

    Several ways are drawn over each other: give a dict of results, their names the keys.

    Args:
        f: the function that was minimized.
        result: what ``minimize(…, record_path=True)`` returned; or several, in a dict or a list.
        args: its further arguments, as they were given to ``minimize``.
        ax: matplotlib's axes to draw on; new ones by default.
        levels: how many contours; they are closer where the function is low.
        points: where ``f`` is evaluated, along each axis.
        limits: ``((x from, x to), (y from, y to))``; by default what holds all paths.

    Returns:
        The axes: ``ax.figure.savefig("descent.png")`` writes the picture.

    Raises:
        ArgumentError: for a result without a path, or of other than two variables.
        MissingExtra: without matplotlib.

    Example:
        >>> import chainrule as cr
        >>> def bowl(x):
        ...     return x[0] ** 2 + 10 * x[1] ** 2
        >>> ways = {name: cr.minimize(bowl, [4.0, 1.0], optimizer, max_steps=40, record_path=True)
        ...         for name, optimizer in {"SGD": cr.optimizers.SGD(0.05), "Adam": cr.optimizers.Adam(0.3)}.items()}
        >>> ax = cr.plot.path(bowl, ways)
        >>> [line.get_label() for line in ax.get_lines()]
        ['SGD: 40 steps', 'Adam: 40 steps']
    """
    levels, points = whole("levels", levels), whole("points", points, 2)
    results = dict(result) if isinstance(result, Mapping) else \
        {"": result} if isinstance(result, MinimizeResult) else {str(k + 1): r for k, r in enumerate(result)}
    if not results:
        raise ArgumentError.of("no result", "at least one", "cr.plot.path(f, cr.minimize(f, x0, record_path=True))")
    ways = {name: _way(r) for name, r in results.items()}
    everywhere = np.concatenate(list(ways.values()))
    xs, ys = (np.linspace(*side, points) for side in limits or _around(everywhere))
    _, structure = tree.flatten(next(iter(results.values())).x)
    heights = _heights(f, xs, ys, next(iter(results.values())).x, structure, args)
    axes = pyplot.subplots(figsize=(7, 5.5), layout="constrained")[1] if ax is None else ax
    low = float(np.nanmin(heights))
    steps = np.unique(low + np.geomspace(1e-4, 1, levels) * max(1e-12, float(np.nanmax(heights)) - low))
    axes.contour(xs, ys, heights, levels=steps, cmap="Greys_r", linewidths=0.7, alpha=0.45)
    for name, way in ways.items():
        label = ": ".join(filter(None, [name, f"{results[name].steps:,} step{'s' * (results[name].steps != 1)}"]))
        line, = axes.plot(way[:, 0], way[:, 1], ".-", markersize=3, linewidth=1.3, label=label)
        axes.scatter(way[[0, -1], 0], way[[0, -1], 1], marker="o", s=[30, 60], facecolors=["none", line.get_color()],
                     edgecolors=line.get_color(), zorder=3)
    axes.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]), xlabel="x[0]", ylabel="x[1]")
    axes.legend()
    return axes


def _way(result: MinimizeResult) -> np.ndarray:
    """The points of a path, a row each."""
    if result.path is None:
        raise ArgumentError.of("a result without a path", "one that has it", "cr.minimize(f, x0, record_path=True)")
    leaves = tree.flatten(result.path)[0]
    way = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    if way.shape[1] != 2:
        raise ArgumentError.of(f"a path in {way.shape[1]} variables", "two variables", "cr.minimize(f, [0.0, 1.0], …)")
    return way[np.isfinite(way).all(axis=1)]


def _around(points: np.ndarray) -> list[tuple[float, float]]:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, 0.2 * np.max(high - low, initial=1e-3))
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


def _heights(f: Callable[..., Any], xs: np.ndarray, ys: np.ndarray, like: Any, structure: Any,
             args: Sequence[Any]) -> np.ndarray:
    """The function on the grid, each point in the containers of ``like``; NaN where it is not finite."""
    shapes = [np.shape(leaf) for leaf in tree.flatten(like)[0]]
    out = np.empty((len(ys), len(xs)))
    with np.errstate(all="ignore"):
        for i, y in enumerate(ys):
            for k, x in enumerate(xs):
                pair = np.array([x, y])
                leaves = [pair.reshape(shapes[0])] if len(shapes) == 1 else \
                    [pair[j].reshape(shape)[()] for j, shape in enumerate(shapes)]
                out[i, k] = float(f(tree.unflatten(structure, leaves), *args))
    return np.where(np.isfinite(out), out, np.nan)


__all__ = ["path"]
