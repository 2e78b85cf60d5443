"""A trained model of text: it writes, it measures other texts, and it comes back from a checkpoint by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rekur.data import Symbols, Unseen, Vocabulary
from rekur.errors import CheckpointError, DataError, OptionError, RekurError
from rekur.nn import SequenceModel, sample
from rekur.tasks.rebuild import find_checkpoint, rebuild_model
from rekur.train import Checkpoint, load

TASK = "charlm"


@dataclass(frozen=True)
class Score:
    """What a model makes of a text: its loss, the mean over `items` symbols, in nats a symbol."""

    loss: float
    items: int

    @property
    def bits(self) -> float:
        """The loss in bits a symbol."""
        return self.loss / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely symbols the model would be as unsure: e to the loss."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


class TextModel(NamedTuple):
    """A model of symbols and the vocabulary that it reads and writes.

    >>> from rekur.cells import lstm
    >>> from rekur.nn import Plan
    >>> vocabulary = Vocabulary.build("row, row, row your boat")
    >>> size = len(vocabulary)
    >>> text_model = TextModel(SequenceModel(Plan(lstm, 4, 8, symbols=size, outputs=size, feedback=True)), vocabulary)
    >>> (text,) = text_model.sample("row", 5, generator=torch.Generator().manual_seed(1))
    >>> text.startswith("row"), len(text)
    (True, 8)
    >>> round(text_model.evaluate("row your boat").perplexity) <= 2 * size
    True
    """

    model: SequenceModel
    vocabulary: Vocabulary

    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        *,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
        unseen: Unseen = "error",
    ) -> Iterator[tuple[str, ...]]:
        """Write, symbol by symbol: first the prompt as it is read, then what each of `count` texts goes on with.

        An empty prompt is the end of a line, which is not shown, or the first symbol of a vocabulary without one.
        For temperature, top-k and the generator see `rekur.nn.draw`; for `unseen` see `Vocabulary.encode`.

        Raises DataError for a prompt with characters that are not in the vocabulary, OptionError for a number
        that makes no sense.
        """
        for name, number in (("length", length), ("count", count)):
            if number < 1:
                raise OptionError(f"{name} is {number}; it must be 1 or more")
        read = self.vocabulary.encode(prompt, unseen)
        shown = self.vocabulary.decode(read)
        if not len(read):
            read = self.vocabulary.encode("\n", "skip")
        symbols = torch.as_tensor(read.astype("int64") if len(read) else [0], device=_device(self.model))
        rows = symbols.expand(count, -1)  # (B, T)
        decoders = [self.vocabulary.decoder() for _ in range(count)]
        options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "generator": generator}
        yield (shown,) * count
        for drawn in sample(self.model, rows, length, **options):
            yield tuple(d.feed([symbol]) for d, symbol in zip(decoders, drawn.tolist(), strict=True))
        yield tuple(d.finish() for d in decoders)

    def sample(self, prompt: str = "", length: int = 500, **options: Any) -> list[str]:
        """The texts of `stream`, which has the same arguments, whole."""
        return ["".join(pieces) for pieces in zip(*self.stream(prompt, length, **options), strict=True)]

    def evaluate(self, text: str, *, unseen: Unseen = "unknown") -> Score:
        """The loss on a text from its second symbol to its last, the state carried all the way."""
        return total(self.losses(self.vocabulary.encode(text, unseen)))

    def losses(self, symbols: Symbols, *, streams: int = 1, time: int = 256) -> Iterator[Score]:
        """The loss on a text chunk by chunk, the state carried from one to the next.

        Args:
            symbols: (N,) the text as numbers.
            streams: parts of equal length that are read side by side, each from a fresh state; the fewer than
                `streams` symbols that are left over at the end are not read.
            time: steps of a chunk, which do not change the result.
        """
        if streams < 1:
            raise OptionError(f"streams is {streams}; it must be 1 or more")
        steps = (len(symbols) - 1) // streams
        if steps < 1:
            raise DataError(f"the text is too short to measure: {len(symbols)} symbols for {streams} streams")
        x, y = (symbols[at : at + streams * steps].reshape(streams, steps) for at in (0, 1))
        training = self.model.training
        self.model.eval()
        try:
            state: Mapping[str, Tensor] | None = None
            for at in range(0, steps, time):
                here = slice(at, at + time)
                with torch.no_grad():
                    loss, state = step_loss(self.model, x[:, here], y[:, here], state)
                yield Score(loss.item(), x[:, here].size)
        finally:
            self.model.train(training)


def step_loss(
    model: SequenceModel, x: Symbols, y: Symbols, state: Mapping[str, Tensor] | None
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The mean of −ln p(y) over all (B, T) symbols, each given those before it; and the state after them."""
    read, wanted = (torch.from_numpy(v.astype("int64", copy=False)).to(_device(model)) for v in (x, y))
    logits, state = model(read, state)  # (B, T, V)
    return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten()), state


def _device(model: SequenceModel) -> torch.device:
    return next(model.parameters()).device


def total(parts: Iterable[Score]) -> Score:
    """One score of several parts' symbols."""
    known = list(parts)
    items = sum(part.items for part in known)
    return Score(math.fsum(part.loss * part.items for part in known) / items, items)


def load_model(path: Path | str) -> TextModel:
    """The model of a run folder (at its best validation) or of a checkpoint in one.

    It needs neither the data nor the file that its cell was written in: all of it is in the checkpoint.
    CheckpointError where there is no such thing, or where it is damaged.
    """
    return rebuild(load(find_checkpoint(Path(path))))


def rebuild(saved: Checkpoint) -> TextModel:
    """The model of a checkpoint, which may come from a stranger; CheckpointError where it makes no sense."""
    if saved.meta.get("task") != TASK:
        raise CheckpointError(f"the checkpoint is of task {saved.meta.get('task')!r}, not of {TASK!r}")
    try:
        vocabulary = Vocabulary.from_json(saved.meta["model"]["vocabulary"])
        model = rebuild_model(saved)
        plan = model.plan
        if not plan.feedback or plan.bidirectional or {plan.symbols, plan.outputs} != {len(vocabulary)}:
            raise CheckpointError("its plan is not that of a model of its vocabulary")
    except (RekurError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint's model cannot be made: {error}") from error
    return TextModel(model, vocabulary)
