"""784-512-512-10, softmax cross-entropy, Adam, batch 128: time per training step, beside the peers."""

from harness import compare, parser

if __name__ == "__main__":
    options = parser(__doc__).parse_args()
    names = [name for name in options.peers if name != "plain_c"]  # plain.c is written for the script's shape
    compare("mlp", names, options)
