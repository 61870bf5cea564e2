"""Compiled functions: trace once per signature, compile or load, bind buffers, call."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import cache, dtypes, tree
from chainrule.addresses import DIRECT, HEAD, address, aligned, result, room, straddles
from chainrule.errors import ArgumentError
from chainrule.graph import Graph
from chainrule.lazy import lazy
from chainrule.llvm.jit import ENTRY, Loaded, assembly, call_on_objects, host, optimize
from chainrule.ops.declare import OBSERVER, Traced
from chainrule.ops.host import reason
from chainrule.signatures import Request, Signature
from chainrule.threads import Pool, cores, get_threads, shared_pool
from chainrule.trace import as_array, record
from chainrule.tracebacks import public, shorten

if TYPE_CHECKING:
    from chainrule.compiler.accounts import Memory

# the compiler is loaded when something is compiled: a program from the disk cache starts without it
accounts, pipeline = lazy("chainrule.compiler.accounts"), lazy("chainrule.compiler.pipeline")
background, emit = lazy("chainrule.llvm.background"), lazy("chainrule.llvm.emit")

_MANY = 100  # signatures of one function that deserve a word


class Counters:
    """How often programs were compiled, loaded from disk, and found in memory since the process began."""

    compiled = 0
    loaded = 0
    reused = 0


class Executable:
    """Native code of a graph with the memory it works in. Thread-safe: every call has an arena of its own."""

    def __init__(self, entry: cache.Entry) -> None:
        self._loaded = Loaded(entry.code, host())
        self._address = self._loaded.address("run")
        self.function = ENTRY(self._address)
        self.arena_bytes = entry.arena
        self.constants = entry.constants
        self.worker_bytes = entry.workers or 0
        self.pool: Pool | None = None
        self.further = [address(c) for c in entry.constants]  # pointers after arguments and results
        if entry.workers is not None:
            self.pool = shared_pool()
            self.pool.reserve(entry.workers)
            self.further.append(self.pool.address)
        self._call = call_on_objects()[1]
        self._pack: Callable[..., bytes] | None = None
        self._arenas: list[tuple[np.ndarray, int]] = []  # not in use at present, with their addresses

    def arena(self) -> np.ndarray:
        """Aligned working memory."""
        return room(self.arena_bytes)

    def _packing(self, arrays: int) -> Callable[..., bytes]:
        """Puts what so many arrays, and all further pointers, are found by side by side."""
        words = f"{arrays + len(self.further)}P"
        direct = partial(struct.Struct(f"3P{words}").pack, HEAD, self._address, arrays)
        self._pack = direct if DIRECT else struct.Struct(words).pack
        return self._pack

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """One call. All arrays are C-contiguous and of the graph's shapes and dtypes."""
        try:
            arena, begin = self._arenas.pop()
        except IndexError:
            arena = self.arena()
            begin = address(arena)
        if self.pool is not None and not self.pool.live:
            self.pool.start()
        pack = self._pack or self._packing(len(inputs) + len(outputs))
        if DIRECT:
            self._call(pack(*map(id, inputs), *map(id, outputs), *self.further), begin)
        else:
            self.function(pack(*map(address, (*inputs, *outputs)), *self.further), begin)
        self._arenas.append((arena, begin))


class Evaluated:
    """What stands for native code where a graph has none: NumPy computes it, node by node.

    So it is with complex numbers, with functions that only NumPy has (``ops/host.py``), and where nothing is computed.
    """

    further: Sequence[int] = ()

    def __init__(self, graph: Graph, reason: str) -> None:
        self.graph, self.reason = graph, reason

    def arena(self) -> np.ndarray:
        """No working memory."""
        return np.empty(0, np.uint8)

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """One call."""
        values = [np.array(v) for v in self.graph.evaluate(*inputs)]  # copies: outputs may be the memory of inputs
        for out, value in zip(outputs, values, strict=True):
            out[...] = value


_executables: dict[str, Executable] = {}
_NOTHING_COMPUTED = frozenset(("constant", "broadcast", "reshape", "iota"))


def executable_of(graph: Graph, donated: Sequence[tuple[int, int]] = ()) -> Executable | Evaluated:
    """Native code where there can be any; else the graph itself, for NumPy to evaluate."""
    why = reason(graph)
    if why is None and all(node.op.name in _NOTHING_COMPUTED for node in graph.nodes):
        why = "constants"
    return Evaluated(graph, why) if why else compile_graph(graph, donated)


def compile_graph(graph: Graph, donated: Sequence[tuple[int, int]] = ()) -> Executable:
    """The executable of a graph: from memory if the process has made an equal one, from disk, or compiled now."""
    target = host()
    name = cache.key(graph.key, tuple(donated), target)
    known = _executables.get(name)
    if known is not None:
        Counters.reused += 1
        return known
    entry = cache.load(name)
    if entry is not None:
        Counters.loaded += 1
    else:
        Counters.compiled += 1
        program = pipeline.build(graph, donated)
        workshop = background.Background(target, cores())
        with background.handing_over():
            emitted = emit.emit_program(program, target, workshop.submit)
            code = tuple(workshop.finish(emitted.module))
        constants = tuple(np.ascontiguousarray(v).reshape(-1) for _, v in program.constants)
        entry = cache.Entry(code, emitted.arena, constants, emitted.workers)
        cache.save(name, entry)
    return _executables.setdefault(name, Executable(entry))


def _fitting(x: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """``x`` itself if it is a dense array of the signature, else a copy that is."""
    if type(x) is np.ndarray and x.dtype == dtype and x.shape == shape and x.flags.c_contiguous:
        return x
    return np.ascontiguousarray(x, dtype).reshape(shape)


class Compiled:
    """A function compiled for one signature."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], donate: tuple[int, ...]) -> None:
        self.graph, self.structure = record(function, args)
        self.donated = _pairs(self.graph, args, donate)
        self.executable = executable_of(self.graph, self.donated)
        self.outputs = [(o.shape, o.dtype) for o in self.graph.outputs]
        self.inputs = [(i.shape, i.dtype) for i in self.graph.inputs]
        self.taken = {j: k for k, j in self.donated}
        self.limits = _limits(self.graph)

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether the leaves are arrays just as the program takes them."""
        return all([type(x) is np.ndarray and x.shape == shape and x.dtype is dtype and x.flags.c_contiguous
                    for x, (shape, dtype) in zip(leaves, self.inputs, strict=False)])  # a list is made sooner

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """Run on the flattened arguments; the result in its containers."""
        arrays = [_fitting(x, shape, dtype) for x, (shape, dtype) in zip(leaves, self.inputs, strict=True)]
        for k, dtype in self.limits:
            dtype.type(leaves[k])
        return self.run(arrays)

    def run(self, arrays: list[np.ndarray]) -> Any:
        """Run on fitting arrays; the result in its containers."""
        for k, _ in self.donated:
            if not arrays[k].flags.writeable or straddles(arrays[k]):
                arrays[k] = aligned(arrays[k])
        outputs = [result(shape, dtype) for shape, dtype in self.outputs] if not self.donated else [
            arrays[self.taken[j]] if j in self.taken else result(shape, dtype)
            for j, (shape, dtype) in enumerate(self.outputs)]
        watch = OBSERVER.get()
        if watch is None:
            self.executable.run(arrays, outputs)
        else:
            watch.run(self.graph, arrays, [k for k, _ in self.donated], outputs,
                      lambda: self.executable.run(arrays, outputs))
        leaves = [o if o.ndim else o[()] for o in outputs]
        return leaves[0] if self.structure.kind is tree.LEAF else tree.unflatten(self.structure, leaves)

    def refuse(self, leaves: Sequence[Any]) -> None:
        """An error for leaves that would have to be copied to fit."""
        for x, (shape, dtype) in zip(leaves, self.inputs, strict=True):
            if _fitting(x, shape, dtype) is not x:
                raise ArgumentError.of(f"an argument of type {type(x).__name__} cannot be bound",
                                       f"a C-contiguous array of shape {shape} and dtype {dtype}",
                                       "np.ascontiguousarray(x)")

    def bind(self, leaves: Sequence[np.ndarray]) -> Bound:
        """Tie the program to these very arrays, which fit."""
        watch = OBSERVER.get()
        return Bound(self, leaves) if watch is None else Watched(self, leaves, watch)


def _limits(graph: Graph) -> list[tuple[int, np.dtype]]:
    """The dtypes that Python integers among the inputs take on. One that does not fit is an error, as in NumPy."""
    position = {node: k for k, node in enumerate(graph.inputs) if node.weak and node.dtype.kind in "iu"}
    return [(position[node.inputs[0]], node.dtype) for node in graph.nodes
            if node.op.name == "cast" and node.inputs[0] in position and node.dtype.kind in "iu"]


class Bound:
    """A compiled function tied to fixed arrays, which fit: a call costs only the native code.

    Change the argument arrays in place to change the arguments. Large ones best begin at a cache line, as results of
    compiled functions do and as :func:`chainrule.aligned` copies them.
    """

    def __init__(self, compiled: Compiled, leaves: Sequence[np.ndarray]) -> None:
        executable = compiled.executable
        outputs = [leaves[compiled.taken[j]] if j in compiled.taken else result(shape, dtype)
                   for j, (shape, dtype) in enumerate(compiled.outputs)]
        self._arena = executable.arena()
        self._arrays = [*leaves, *outputs]
        self._pointers = np.array([*map(address, self._arrays), *executable.further], np.uintp)
        self._address, self._work = address(self._pointers), address(self._arena)
        self._executable = executable
        self._structure, self._outputs = compiled.structure, outputs
        self._function: Callable[..., Any] = lambda *_: executable.run(leaves, outputs)
        self._pool: Pool | None = None
        if isinstance(executable, Executable):
            self._function, self._pool = executable.function, executable.pool

    @property
    def result(self) -> Any:
        """The output container, whose arrays every call overwrites."""
        return tree.unflatten(self._structure, self._outputs)

    def __call__(self) -> None:
        """Run on what the bound arrays hold now."""
        if self._pool is not None and not self._pool.live:
            self._pool.start()
        self._function(self._address, self._work)


class Watched(Bound):
    """A bound function that is looked into where a result is not finite: :func:`chainrule.debug_nans` was on."""

    def __init__(self, compiled: Compiled, leaves: Sequence[np.ndarray], watch: Any) -> None:
        super().__init__(compiled, leaves)
        self._compiled, self._watch = compiled, watch

    def __call__(self) -> None:
        """Run on what the bound arrays hold now, and look at the results."""
        graph, inputs = self._compiled.graph, len(self._compiled.inputs)
        outputs = self._arrays[inputs:inputs + len(graph.outputs)]
        self._watch.run(graph, self._arrays[:inputs], [k for k, _ in self._compiled.donated], outputs, super().__call__)


class Jitted:
    """What :func:`jit` returns: call it like the function it was made from."""

    def __init__(self, function: Callable[..., Any], donate: tuple[int, ...] = (),
                 static_argnames: str | Sequence[str] = ()) -> None:
        self.function, self.donate = function, tuple(donate)
        self._signature = Signature(function, static_argnames)
        self._programs: dict[Any, Compiled] = {}
        self._last: tuple[Any, Compiled | None] = None, None  # structure of arguments without static ones, program
        self.__name__ = f"jit({getattr(function, '__name__', 'function')})"
        self.__wrapped__ = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run compiled; inside another recording, become part of it."""
        try:
            last, program = self._last
            if program is not None and not options:
                leaves, structure = tree.flatten(args)
                if structure is last and program.fits(leaves):
                    return program.run(leaves)
            request = self._signature.split(args, options)
            leaves, structure = tree.flatten(request.args)
            if any([isinstance(leaf, Traced) for leaf in leaves]):
                return self.function(*args, **options)
            program = self._compiled(leaves, structure, request)
            if not options and request.key is None and program.fits(leaves):
                self._last = structure, program
            return program(leaves)
        except Exception as error:  # costs nothing where there is none, as a decorator would
            shorten(error)
            raise

    def _compiled(self, leaves: list[Any], structure: tree.Structure, request: Request) -> Compiled:
        arrays = [as_array(leaf) for leaf in leaves]
        weak = [type(leaf) in dtypes.PYTHON for leaf in leaves]
        key = (structure, request.key, tuple((a.shape, a.dtype, w) for a, w in zip(arrays, weak, strict=True)))
        known = self._programs.get(key)
        if known is None:
            known = self._programs[key] = Compiled(request.function, request.args, self._donated(request))
            if len(self._programs) == _MANY:
                latest = ", ".join(f"{a.dtype.name}{list(a.shape)}" for a in arrays)
                warnings.warn(f"{self.__name__} has been compiled for {_MANY} signatures, the latest with {latest}: "
                              "each shape is a program of its own. Pad arrays to a few shapes.", stacklevel=3)
        return known

    def _donated(self, request: Request) -> tuple[int, ...]:
        return tuple(k for k, place in enumerate(request.places) if place in self.donate)

    @public
    def compile(self, *args: Any, **options: Any) -> Compiled:
        """The compiled function for arguments like these."""
        request = self._signature.split(args, options)
        return self._compiled(*tree.flatten(request.args), request)

    @public
    def bind(self, *args: Any, **options: Any) -> Bound:
        """Tie the compiled function to these very arrays: see :class:`Bound`."""
        request = self._signature.split(args, options)
        leaves, structure = tree.flatten(request.args)
        last, program = self._last
        if program is None or options or structure is not last or not program.fits(leaves):
            program = self._compiled(leaves, structure, request)
            if not program.fits(leaves):
                program.refuse(leaves)
            if not options and request.key is None:
                self._last = structure, program
        return program.bind(leaves)

    @public
    def graph(self, *args: Any, **options: Any) -> Graph:
        """The recorded graph for arguments like these."""
        request = self._signature.split(args, options)
        return record(request.function, request.args)[0]

    @public
    def stage(self, stage: str, *args: Any, **options: Any) -> str:
        """The text of one stage for arguments like these: see :meth:`show`."""
        request = self._signature.split(args, options)
        graph = record(request.function, request.args)[0]
        return _staged(stage, graph, _pairs(graph, request.args, self._donated(request)))

    @public
    def show(self, stage: str, *args: Any, **options: Any) -> None:
        """Print one stage of compilation for arguments like these; without arguments, for those of the last call.

        Args:
            stage: ``graph``, ``loops``, ``traffic`` (the bytes that the loops move, beside what the graph's operations
                would move one by one), ``llvm`` or ``asm``.
            args: example arguments.
            options: example arguments by name.
        """
        if not args and not options and not self._programs:
            raise ArgumentError.of(f"nothing to show: {self.__name__} has not been called yet", "example arguments",
                                   f"f.show({stage!r}, np.ones(3))")
        if args or options:
            print(self.stage(stage, *args, **options))
        else:
            last = next(reversed(self._programs.values()))
            print(_staged(stage, last.graph, last.donated))

    @public
    def memory(self, *args: Any, **options: Any) -> Memory:
        """The bytes that a call with arguments like these needs at its peak, and what for.

        Args:
            args: example arguments.
            options: example arguments by name.

        Raises:
            ArgumentError: where NumPy evaluates the graph, which plans no memory.

        Example:
            >>> import chainrule as cr, numpy as np
            >>> found = cr.jit(lambda x: np.exp(x) / np.sum(np.exp(x))).memory(np.ones(1000))
            >>> found.arguments, found.results, found.arena
            (8000, 8000, 8064)
        """
        compiled = self.compile(*args, **options)
        executable = compiled.executable
        if isinstance(executable, Evaluated):
            raise ArgumentError.of(f"{self.__name__} has no plan of its memory: {executable.reason} have no native "
                                   "code, NumPy evaluates the graph", "a function with native code",
                                   "cr.jit(f).graph(x).cost()")
        workers = executable.worker_bytes * (get_threads() - 1)
        return accounts.memory_of(pipeline.build(compiled.graph, compiled.donated), executable.arena_bytes, workers)

    def __repr__(self) -> str:
        by_numpy = sorted({p.executable.reason for p in self._programs.values() if isinstance(p.executable, Evaluated)})
        count = len(self._programs)
        evaluated = f"; evaluated by NumPy because of {', '.join(by_numpy)}" if by_numpy else ""
        return f"<{self.__name__}, compiled for {count} signature{'s' * (count != 1)}{evaluated}>"


def _staged(stage: str, graph: Graph, donated: Sequence[tuple[int, int]]) -> str:
    if stage not in ("graph", "loops", "traffic", "llvm", "asm"):
        raise ArgumentError.of(f"unknown stage {stage!r}", "graph, loops, traffic, llvm or asm", "f.show('loops', x)")
    if stage == "graph":
        return graph.text(sources=True)
    why = reason(graph)
    if why:
        raise ArgumentError.of(f"there is no stage {stage!r}: {why} have no native code, NumPy evaluates the graph",
                               "stage 'graph'", "f.show('graph', x)")
    program = pipeline.build(graph, donated)
    if stage == "loops":
        return str(program)
    if stage == "traffic":
        return str(accounts.traffic_of(program, graph.cost()))
    parsed = optimize(emit.emit_program(program, host()).module, host())
    return str(parsed) if stage == "llvm" else assembly(parsed, host())


def _pairs(graph: Graph, args: tuple[Any, ...], donate: tuple[int, ...]) -> list[tuple[int, int]]:
    """Which input's memory each output takes over: donated leaves in order, to the outputs that fit in order."""
    pairs, position, free = [], 0, list(range(len(graph.outputs)))
    for number, arg in enumerate(args):
        count = len(tree.flatten(arg)[0])
        if number in donate:
            for k in range(position, position + count):
                node = graph.inputs[k]
                fit = next(
                    (j for j in free if (graph.outputs[j].shape, graph.outputs[j].dtype) == (node.shape, node.dtype)),
                    None,
                )
                if fit is not None:
                    free.remove(fit)
                    pairs.append((k, fit))
        position += count
    return pairs


@public
def jit(function: Callable[..., Any], donate: Sequence[int] = (), static_argnames: str | Sequence[str] = ()) -> Jitted:
    """Compile a NumPy-style function to native code, once for each signature (structure, shapes, dtypes).

    Where a function computes with complex numbers, or calls a NumPy function that has no native code (``np.fft``,
    ``np.nextafter`` …), NumPy evaluates the recorded graph instead; ``repr`` of the jitted function says so.

    Args:
        function: pure: arrays (and nested containers of them) in, arrays out.
        donate: positions of arguments whose memory the results may take over: those arrays are overwritten. A long one
            that does not begin at a cache line is copied to one first, as is one that cannot be written to.
        static_argnames: names of arguments that are no arrays but part of the program (an axis, a flag, a function):
            hashable; the function is compiled for each combination of their values.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> f = cr.jit(lambda x: np.sum(np.tanh(x) ** 2))
        >>> round(float(f(np.array([0.0, 1.0]))), 6)
        0.580026
    """
    return Jitted(function, tuple(donate), static_argnames)
