"""The peers: each one trains workloads as its users would, in a process of its own.

    python peers.py PEER                          waits for what turns.py asks: time per step, steady state
    python peers.py PEER --first-step WORKLOAD    when the first step was done, and the process's memory

A peer is a function from a workload and a number of threads to `train(epochs)`, which returns the loss of every epoch.
Choices that a user could make in a peer's favour are made: the whole epoch is shuffled at once, the loss is computed
from logits, metrics stay on the device, optimizers are the fused ones, images lie with their channels last.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

from turns import Train, serve
from workloads import WORKLOADS, Workload


def always(work: Workload) -> bool:
    return True


def classifier(work: Workload) -> bool:
    """Dense layers with at least one hidden, trained with Adam."""
    return len(work.sizes) > 2 and work.optimizer == "adam"


def without_loops(work: Workload) -> bool:
    """PyTorch's fused LSTM is one operation, which cannot be traced into."""
    return work != WORKLOADS["lstm"]


def without_images(work: Workload) -> bool:
    """XLA's convolutions are ten times slower inside a loop: there, a step at a time is JAX at its best."""
    return all(weight.kind != "kernel" for weight in work.declared.weights)


def from_module(module: str, function: str, work: Workload, threads: int, **options: Any) -> Train:
    """What a module next to this one makes of a workload; imported when it is the peer's turn."""
    return getattr(importlib.import_module(module), function)(work, **options)


def threaded(module: str, function: str, work: Workload, threads: int, **options: Any) -> Train:
    """The same for those who are told the number of threads in the program."""
    return getattr(importlib.import_module(module), function)(work, threads=threads, **options)


@dataclass(frozen=True)
class Peer:
    """One way to train: how it is called in the tables, what it needs, how it is built, and what it can train."""

    title: str
    packages: tuple[str, ...]  # distributions; ("gcc",) stands for the compiler
    build: Callable[[Workload, int], Train]
    environment: tuple[tuple[str, str], ...] = ()
    takes: Callable[[Workload], bool] = always

    def version(self) -> str | None:
        """Versions of what it needs, None if something is not installed."""
        if self.packages == ("gcc",):
            return gcc_version()
        try:
            return ", ".join(f"{package} {metadata.version(package)}" for package in self.packages)
        except metadata.PackageNotFoundError:
            return None


def gcc_version() -> str | None:
    if not shutil.which("gcc"):
        return None
    text = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    return f"gcc {text.strip()}"


TENSORFLOW = (("KERAS_BACKEND", "tensorflow"),)
PEERS = {
    "chainrule": Peer("Chainrule", ("chainrule",), partial(threaded, "peer_chainrule", "functions")),
    "chainrule_fit": Peer("Chainrule, fit", ("chainrule",), partial(from_module, "peer_others", "fit"),
                          takes=classifier),
    "plain_c": Peer("plain C", ("gcc",), partial(from_module, "peer_others", "plain_c"),
                    takes=lambda work: work == WORKLOADS["keras_script"]),
    "jax_scan": Peer("JAX, scanned epoch", ("jax",), partial(from_module, "peer_jax", "train", scanned=True),
                     takes=without_images),
    "jax_step": Peer("JAX, jit per step", ("jax",), partial(from_module, "peer_jax", "train", scanned=False)),
    "torch": Peer("PyTorch, eager", ("torch",), partial(threaded, "peer_torch", "eager")),
    "torch_compile": Peer("PyTorch, compiled", ("torch",), partial(threaded, "peer_torch", "compiled"),
                          takes=without_loops),
    "sklearn": Peer("scikit-learn", ("scikit-learn",), partial(from_module, "peer_others", "sklearn"),
                    takes=classifier),
    "keras": Peer("Keras, TensorFlow", ("keras", "tensorflow-cpu"), partial(threaded, "peer_keras", "build"),
                  TENSORFLOW),
    "keras_tuned": Peer("Keras, tuned", ("keras", "tensorflow-cpu"),
                        partial(threaded, "peer_keras", "build", tuned=True), TENSORFLOW),
}


def peak_memory() -> int:
    """Bytes that this process has had in memory at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-step", choices=WORKLOADS, metavar="WORKLOAD")
    options = parser.parse_args()
    peer = PEERS[options.peer]

    def build(name: str) -> tuple[Workload, Train]:
        return WORKLOADS[name], peer.build(WORKLOADS[name], options.threads)
    if options.first_step:
        peer.build(WORKLOADS[options.first_step].one_step(), options.threads)(1)
        print(json.dumps({"finished": time.time(), "peak": peak_memory()}), flush=True)
    else:
        serve(build)


if __name__ == "__main__":
    main()
