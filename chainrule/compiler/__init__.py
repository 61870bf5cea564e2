"""From a graph to scheduled loop nests; ``chainrule.llvm`` turns those into machine code."""
