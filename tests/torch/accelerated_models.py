"""Models as people write them with torch.nn, and data for them: nothing in here knows rekur."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    """Words to tags: an embedding, a bidirectional LSTM over padded rows, a linear layer."""

    def __init__(self, words: int = 30, tags: int = 5, hidden: int = 6) -> None:
        super().__init__()
        self.words = nn.Embedding(words, hidden, padding_idx=0)
        self.lstm = nn.LSTM(hidden, hidden, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(2 * hidden, tags)

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.tags(self.lstm(self.words(words))[0])
        return out

    def batch(self, rows: int, steps: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        words = torch.randint(1, self.words.num_embeddings, (rows, steps), generator=draw)
        return words, words % self.tags.out_features

    def loss(self, words: Tensor, tags: Tensor) -> Tensor:
        return cross_entropy(self(words).flatten(0, 1), tags.flatten())


class Speech(nn.Module):
    """Frames to one class: stacked bidirectional GRUs over packed rows, dropout between them, their last states."""

    def __init__(self, features: int = 7, classes: int = 4, hidden: int = 5, layers: int = 3) -> None:
        super().__init__()
        self.encoder = nn.GRU(features, hidden, layers, bidirectional=True, dropout=0.2)
        self.norm = nn.LayerNorm(2 * hidden)
        self.classes = nn.Linear(2 * hidden, classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(frames, lengths, enforce_sorted=False)
        y, last = self.encoder(packed)
        mean = pad_packed_sequence(y)[0].sum(0) / lengths[:, None]
        out: Tensor = self.classes(self.norm(mean + torch.cat([last[-2], last[-1]], -1)))
        return out

    def batch(self, rows: int, steps: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        frames = torch.randn(steps, rows, self.encoder.input_size, generator=draw)
        lengths = torch.randint(max(1, steps // 4), steps + 1, (rows,), generator=draw)
        return frames, lengths, lengths % self.classes.out_features

    def loss(self, frames: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        return cross_entropy(self(frames, lengths), classes)


class Language(nn.Module):
    """The next word: two LSTMs, the state carried from chunk to chunk, the head tied to the embedding."""

    def __init__(self, words: int = 20, hidden: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(words, hidden)
        self.lstm = nn.LSTM(hidden, hidden, 2)
        self.head = nn.Linear(hidden, words)
        self.head.weight = self.words.weight
        self.state: tuple[Tensor, Tensor] | None = None

    def batch(self, rows: int, steps: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randint(self.words.num_embeddings, (steps + 1, rows), generator=draw),)

    def loss(self, words: Tensor) -> Tensor:
        y, (h, c) = self.lstm(self.words(words[:-1]), self.state)
        self.state = h.detach(), c.detach()
        logits = self.head(y.view(-1, y.size(-1)))  # a view, as it may be with torch's own
        return cross_entropy(logits, words[1:].flatten())


MODELS: dict[str, type[Tagger | Speech | Language]] = {"tagger": Tagger, "speech": Speech, "language": Language}
