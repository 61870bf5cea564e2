"""The Keras script of the README, time per training step in the steady state, beside the peers."""

from harness import compare, parser

if __name__ == "__main__":
    options = parser(__doc__).parse_args()
    compare("keras_script", options.peers, options)
