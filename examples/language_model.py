"""A character language model with attention: a small transformer learns from this project's own pages, then writes.

Two blocks of causal attention and dense layers, each with a way around it and a layer norm before it. It does not write
well after a minute: the loss in bits a character falls from the 7 of a guess to about 3 on text that it has not seen,
and what it writes gets words.
"""

from pathlib import Path

import numpy as np
from rich.console import Console

import chainrule as cr
from chainrule.layers import Dense, Embedding, Input, Layer, LayerNormalization, MultiHeadAttention
from chainrule.models import Model
from chainrule.optimizers import AdamW

CONTEXT, WIDTH, HEADS, BLOCKS, EPOCHS = 64, 64, 4, 2, 12
PAGES = Path(__file__).parent.parent / "docs"


class Positions(Layer):
    """Adds a learned vector for each place in the context."""

    def build(self, input_shape):
        """One vector for each place."""
        self.table = self.add_weight(shape=input_shape[-2:], initializer="random_normal", name="table")

    def call(self, x):
        """The sum."""
        return x + self.table


def text():
    """All pages, with rare characters left out."""
    whole = "\n".join(page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md")))
    characters, counts = np.unique(list(whole), return_counts=True)
    kept = set(characters[counts > 20])
    return "".join(c for c in whole if c in kept)


def encoded(whole):
    """The characters that occur, and the text as their numbers."""
    characters = sorted(set(whole))
    number = {c: k for k, c in enumerate(characters)}
    return characters, np.array([number[c] for c in whole], np.int32)


def samples(numbers, stride=CONTEXT // 2):
    """Stretches of the text, and the same one character later."""
    starts = np.arange(0, len(numbers) - CONTEXT - 1, stride)
    return (np.stack([numbers[s + shift:s + shift + CONTEXT] for s in starts]) for shift in (0, 1))


def build(vocabulary, width=WIDTH, blocks=BLOCKS):
    characters = Input((CONTEXT,), dtype="int32")
    h = Positions()(Embedding(vocabulary, width)(characters))
    for _ in range(blocks):
        normed = LayerNormalization()(h)
        h = h + MultiHeadAttention(HEADS, width // HEADS)(normed, normed, use_causal_mask=True)
        h = h + Dense(width)(Dense(4 * width, activation="gelu")(LayerNormalization()(h)))
    model = Model(characters, Dense(vocabulary)(LayerNormalization()(h)), name="language_model")
    loss = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(AdamW(0.003, weight_decay=0.01), loss)
    return model


def written(model, characters, start, length=200, temperature=0.7, seed=0):
    """The text that the model continues, one character drawn after the other."""
    rng, numbers = np.random.default_rng(seed), [characters.index(c) for c in start]
    for _ in range(length):
        seen = numbers[-CONTEXT:]
        padded = np.zeros((1, CONTEXT), np.int32)
        padded[0, :len(seen)] = seen
        logits = model.predict(padded)[0, len(seen) - 1] / temperature
        p = np.exp(logits - logits.max())
        numbers.append(int(rng.choice(len(characters), p=p / p.sum())))
    return "".join(characters[k] for k in numbers)


def main():
    cr.set_seed(0)
    characters, numbers = encoded(text())
    x, y = samples(numbers)
    model = build(len(characters))
    model.fit(x, y, epochs=EPOCHS, batch_size=16, validation_split=0.05, verbose=1)
    console = Console()
    held_out = len(x) // 20  # the last samples, as in fit
    loss = model.evaluate(x[-held_out:], y[-held_out:], verbose=0)
    console.print(f"Bits a character on what it has not seen: {loss / np.log(2):.2f}")
    console.print(written(model, characters, "The gradient of "), highlight=False, markup=False)


if __name__ == "__main__":
    main()
