"""The passes in order, each with what it needs and gives."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.ahead import fetch_ahead
from chainrule.compiler.batches import block_batches
from chainrule.compiler.columns import block_columns
from chainrule.compiler.loops import Program
from chainrule.compiler.lower import lower
from chainrule.compiler.memory import assign_offsets, share_memory
from chainrule.compiler.order import free_early
from chainrule.compiler.rows import fuse_rows
from chainrule.compiler.simplify import simplify
from chainrule.compiler.split import split_sums
from chainrule.compiler.taken import read_taken
from chainrule.compiler.unfold import unfold
from chainrule.compiler.updates import block_updates
from chainrule.compiler.widen import widen
from chainrule.graph import Graph


def build(graph: Graph, donated: Sequence[tuple[int, int]] = ()) -> Program:
    """Graph → planned program.

    ============== =========================== =====================================================
    pass           needs                       gives
    ============== =========================== =====================================================
    unfold         any graph                   no ``fold``: contractions and sums of slices instead
    simplify       any graph                   no copies, equal nodes once, constants folded
    widen          any graph                   half types only moved and cast, arithmetic in float32
    fuse, lower    a simplified graph          nests over buffers (fusion happens inside ``lower``)
    fuse_rows      nests over buffers          those that go over the same rows in one loop over them
    block_columns  nests over buffers          sums down columns as loops over blocks of rows
    split_sums     nests over buffers          long sums with few results in parts
    free_early     nests over buffers          large arrays read for the last time as early as can be
    share_memory   nests over buffers          results in place
    block_batches  carries in place            loops over sequences in loops over blocks of rows
    block_updates  results in place            gradients of large layers updated with block by block
    fetch_ahead    memory shared               what the next turn of a loop takes fetched in this one
    read_taken     memory shared               rows of a small minibatch read where they lie
    assign_offsets nests over buffers          an offset for every temporary
    ============== =========================== =====================================================
    """
    program = free_early(split_sums(block_columns(fuse_rows(lower(widen(simplify(unfold(graph))))))))
    program = assign_offsets(read_taken(fetch_ahead(block_updates(block_batches(share_memory(program, donated))))))
    for position, buffer in enumerate([*program.inputs, *program.outputs, *(b for b, _ in program.constants)]):
        if buffer.position < 0:
            buffer.position = position
    return program
