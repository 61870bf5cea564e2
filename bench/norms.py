"""Softmax, norms, reductions and embeddings against PyTorch and against a copy of the same bytes, one thread.

Of each the least time of many calls with warm caches; forward, and forward and backward together. "copy" is the time
in which NumPy copies as many bytes as must be read and written: what memory allows.

python bench/norms.py            # the whole list
python bench/norms.py "layer"    # the cases whose name contains this
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import CONSOLE, ONE_THREAD, duration, new_table, ratio, use_one_processor

import chainrule as cr
from chainrule import nn

SECONDS = 0.4
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """One function in both libraries. ``peer`` gets the module torch and tensors."""

    name: str
    ours: Callable[..., Any]
    peer: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    ids: tuple[int, int] | None = None  # count and range of whole numbers as the first argument
    channels_last: bool = False  # PyTorch's axes: the channels second, in memory last
    backward: bool = True  # a sum's is a broadcast, which PyTorch does not even write


def batch_norm(x: Any, scale: Any, offset: Any) -> Any:
    return nn.batch_norm(x, *nn.moments(x, tuple(range(x.ndim - 1))), scale, offset, epsilon=1e-5)


IMAGE = (64, 32, 32, 16)
CASES = [
    Case("softmax (4096, 65)", nn.softmax, lambda t, x: t.softmax(x, -1), ((4096, 65),)),
    Case("softmax (256, 64, 64)", nn.softmax, lambda t, x: t.softmax(x, -1), ((256, 64, 64),)),
    Case("log-softmax (4096, 65)", nn.log_softmax, lambda t, x: t.log_softmax(x, -1), ((4096, 65),)),
    Case("log-softmax (512, 10000)", nn.log_softmax, lambda t, x: t.log_softmax(x, -1), ((512, 10000),)),
    Case("layer norm (1024, 128)", lambda x, s, o: nn.layer_norm(x, s, o, epsilon=1e-5),
         lambda t, x, s, o: t.nn.functional.layer_norm(x, (128,), s, o), ((1024, 128), (128,), (128,))),
    Case("layer norm (4096, 768)", lambda x, s, o: nn.layer_norm(x, s, o, epsilon=1e-5),
         lambda t, x, s, o: t.nn.functional.layer_norm(x, (768,), s, o), ((4096, 768), (768,), (768,))),
    Case(f"batch norm {IMAGE}", batch_norm,
         lambda t, x, s, o: t.nn.functional.batch_norm(x, None, None, s, o, True), (IMAGE, (16,), (16,)),
         channels_last=True),
    Case(f"group norm {IMAGE}, 4 groups", lambda x, s, o: nn.group_norm(x, 4, s, o, epsilon=1e-5),
         lambda t, x, s, o: t.nn.functional.group_norm(x, 4, s, o), (IMAGE, (16,), (16,)), channels_last=True),
    *(Case(f"{name} of (64, 256, 256) over {axes}",
           lambda x, name=name, axes=axes: getattr(np, name)(x, axis=axes),
           lambda t, x, name=name, axes=axes: getattr(t, {"max": "amax"}.get(name, name))(x, axes), ((64, 256, 256),),
           backward=name != "sum")
      for name in ("sum", "max") for axes in ((0,), (1,), (2,), (0, 1), (0, 1, 2))),
    Case("embedding 1024 of (65, 128)", nn.embedding, lambda t, i, x: t.nn.functional.embedding(i, x), ((65, 128),),
         (1024, 65)),
    Case("embedding 16384 of (50000, 64)", nn.embedding, lambda t, i, x: t.nn.functional.embedding(i, x),
         ((50000, 64),), (16384, 50000)),
]


def best(call: Callable[[], Any]) -> float:
    """Seconds of the fastest call."""
    call()
    found, end = np.inf, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - start)
    return found


def copying(count: int) -> float:
    source, target = (np.zeros(count // 2, np.uint8) for _ in range(2))
    return best(lambda: np.copyto(target, source))


def measure(case: Case, torch: Any) -> list[tuple[str, float, float | None, float]]:
    """Rows of the table: part, ours, PyTorch's, a copy's seconds."""
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in case.shapes]
    whole = [RNG.integers(0, case.ids[1], case.ids[0])] if case.ids else []
    out = cr.jit(case.ours)(*whole, *arrays)
    weight = RNG.normal(size=np.shape(out)).astype(np.float32)

    def both(*args: Any) -> Any:
        head, rest = args[:len(whole)], args[len(whole):-1]
        y, pull = cr.vjp(lambda *rest: case.ours(*head, *rest), *rest)
        return y, pull(args[-1])
    forward = best(cr.jit(case.ours).bind(*whole, *arrays))
    through = best(cr.jit(both).bind(*whole, *arrays, weight)) if case.backward else 0.0
    moved = arrays[0].nbytes if not whole else out.nbytes
    copies = copying(moved + out.nbytes), copying(2 * (arrays[0].nbytes + out.nbytes))
    peers: list[float | None] = [None, None]
    if torch is not None:
        def tensor(a: Any) -> Any:
            x = torch.from_numpy(a)
            return x.permute(0, 3, 1, 2) if case.channels_last and a.ndim == 4 else x
        given = [tensor(a) for a in (*whole, *arrays)]
        wanted = [x.requires_grad_() for x in given[len(whole):]]
        with torch.no_grad():
            peers[0] = best(lambda: case.peer(torch, *given))
            found = case.peer(torch, *given)
            found = found.permute(0, 2, 3, 1) if case.channels_last else found
            np.testing.assert_allclose(out, found.numpy(), rtol=2e-3, atol=2e-3)
        seed = tensor(weight)
        peers[1] = best(lambda: torch.autograd.grad(case.peer(torch, *given), wanted, seed))
    rows = [("forward", forward, peers[0], copies[0]), ("and backward", through, peers[1], copies[1])]
    return rows if case.backward else rows[:1]


def main() -> None:
    import os
    os.environ.update(ONE_THREAD)
    use_one_processor(None)
    try:
        import torch
        torch.set_num_threads(1)
    except ImportError:
        torch = None
    table = new_table("Softmax, norms, reductions, embeddings", "ours", "PyTorch", "× ours", "copy", "× a copy")
    ratios = []
    for case in CASES:
        if all(word in case.name for word in sys.argv[1:]):
            for part, ours, peer, copy in measure(case, torch):
                table.add_row(f"{case.name} {part}" if part == "forward" else f"  {part}", duration(ours),
                              duration(peer) if peer else "-", ratio(peer, ours) if peer else "", duration(copy),
                              f"{ours / copy:.2f}")
                ratios += [peer / ours] if peer else []
    CONSOLE.print(table)
    if ratios:
        CONSOLE.print(f"PyTorch over ours, geometric mean: {np.exp(np.mean(np.log(ratios))):.2f}")


if __name__ == "__main__":
    main()
