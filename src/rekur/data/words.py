"""Words: a text cut into them, and numbers for them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rekur.data.vocabulary import UNKNOWN, Symbols, Unseen
from rekur.errors import DataError, OptionError

_TOKEN = re.compile(
    r"""
    \w+?(?=n['’]t\b)            # is|n't
    | n['’]t\b
    | ['’](?:s|re|ve|ll|d|m)\b  # it|'s
    | \d+(?:[.,]\d+)+           # 1,000.50
    | \w+(?:-\w+)*              # well-known
    | [^\w\s]                   # every other sign by itself
    """,
    re.VERBOSE | re.IGNORECASE,
)


def tokenize(text: str, *, lower: bool = True) -> list[str]:
    """The words of a text, each other sign by itself, and none of the white space.

    Runs of letters and digits, also with hyphens in them, are words; numbers keep their points and commas. English
    contractions are cut as in the Penn Treebank and in published word vectors: "isn't" is "is", "n't". Scripts
    that put no spaces between words are for models of characters.

    >>> tokenize("It's a well-known film; I DIDN'T pay $9.50!")
    ['it', "'s", 'a', 'well-known', 'film', ';', 'i', 'did', "n't", 'pay', '$', '9.50', '!']
    """
    return _TOKEN.findall(text.lower() if lower else text)


@dataclass(frozen=True)
class Words:
    """Numbers for words, or for labels: word `i` of `words` has the number `i`.

    >>> words = Words.build([["a", "rose", "is", "a", "rose"], ["a", "nose"]], min_count=2)
    >>> words.words
    ('\\ufffd', 'a', 'rose')
    >>> words.encode(["a", "red", "rose"])
    array([1, 0, 2])
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if (
            not self.words
            or len(set(self.words)) < len(self.words)
            or not all(isinstance(w, str) for w in self.words)
        ):
            raise DataError("not a vocabulary of words: its words are missing, repeated or no strings")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, sentences: Iterable[Iterable[str]], *, min_count: int = 1, unknown: bool = True) -> "Words":
        """The words of sentences, the most frequent first; equally frequent ones are in the order of the alphabet.

        Args:
            sentences: the words to count.
            min_count: words that occur less often are unknown. With 1 no training example has an unknown word, so
                a model learns nothing about those that it meets later.
            unknown: have `UNKNOWN`, number 0, for all other words. Without it, which suits labels, nothing is
                left out.

        Raises:
            DataError: there are no words.
            OptionError: min_count makes no sense, or leaves words out that nothing would stand for.
        """
        if min_count < 1:
            raise OptionError(f"min_count must be at least 1, not {min_count}")
        if min_count > 1 and not unknown:
            raise OptionError(f"min_count {min_count} leaves words out, which takes unknown=True")
        counts = Counter(word for sentence in sentences for word in sentence)
        if not counts:
            raise DataError("there are no words to number")
        if unknown:
            counts.pop(UNKNOWN, None)
        kept = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
        return cls((UNKNOWN,) * unknown + tuple(kept))

    @property
    def unknown(self) -> int | None:
        """The number of `UNKNOWN`, if this vocabulary has it."""
        return self._numbers.get(UNKNOWN)

    def encode(self, words: Iterable[str], unseen: Unseen = "unknown") -> npt.NDArray[np.int64]:
        """The numbers of words, one after the other.

        Args:
            words: a sentence.
            unseen: what becomes of words that are not in the vocabulary: `unknown` writes the number of `UNKNOWN`
                for them, `error` refuses them, `skip` leaves them out.

        Raises:
            DataError: a word is unseen and refused, or `unknown` was asked of a vocabulary that has no such word.
        """
        if unseen not in ("unknown", "error", "skip"):
            raise OptionError(f"unseen is {unseen!r}; it is one of 'unknown', 'error', 'skip'")
        given = list(words)
        default = self.unknown if unseen == "unknown" else None
        numbers = [self._numbers.get(word, default) for word in given]
        if unseen != "skip" and None in numbers:
            word = given[numbers.index(None)]
            raise DataError(
                f"{word!r} is not among the {len(self)} words of the vocabulary; leave it out, "
                "or say what becomes of it: unseen 'skip' or 'unknown'"
            )
        return np.array([number for number in numbers if number is not None], np.int64)

    def decode(self, numbers: Symbols | Sequence[int]) -> list[str]:
        """The words that numbers stand for; DataError for a number that is not one of this vocabulary's."""
        wanted = np.asarray(numbers).reshape(-1).tolist()
        for number in wanted:
            if not isinstance(number, int) or not 0 <= number < len(self):
                raise DataError(f"no word has the number {number}: they are whole and go from 0 to {len(self) - 1}")
        return [self.words[number] for number in wanted]

    def to_json(self) -> dict[str, list[str]]:
        """This vocabulary as a JSON object, the inverse of `from_json`."""
        return {"words": list(self.words)}

    @classmethod
    def from_json(cls, data: object) -> "Words":
        """The vocabulary that `to_json` wrote; `DataError` if it is anything else."""
        match data:
            case {"words": list(words)}:
                return cls(tuple(words))
        raise DataError("not a vocabulary of words: a JSON object with a list of 'words' is expected")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}
