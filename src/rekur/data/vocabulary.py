"""The symbols of a text, and the way from text to numbers and back."""

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rekur.errors import DataError, OptionError

Unit = Literal["characters", "bytes"]
Unseen = Literal["unknown", "error", "skip"]
Symbols = npt.NDArray[np.integer[Any]]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # stands for every character that has no number of its own
_CODE_POINTS = 0x110000
_BYTES = tuple(chr(i) if i < 128 else f"\\x{i:02x}" for i in range(256))


@dataclass(frozen=True)
class Vocabulary:
    """What a model reads and writes: symbol `i` of `symbols` has the number `i`.

    With the unit `characters` a symbol is a Unicode character and the order is that of code points. With
    the unit `bytes` the symbols are the 256 values of a byte of UTF-8, so that nothing is ever unseen.

    >>> vocabulary = Vocabulary.build("abracadabra")
    >>> vocabulary.symbols
    ('a', 'b', 'c', 'd', 'r')
    >>> vocabulary.encode("bad")
    array([1, 0, 3], dtype=uint8)
    >>> vocabulary.decode([4, 0, 1])
    'rab'
    """

    symbols: tuple[str, ...]
    unit: Unit = "characters"

    def __post_init__(self) -> None:
        if self.unit == "bytes":
            sound = self.symbols == _BYTES
        else:
            sound = len(set(self.symbols)) == len(self.symbols) > 0 and all(map(_is_character, self.symbols))
        if not sound:
            raise DataError(f"not a vocabulary of {self.unit}: its symbols are missing, repeated or not {self.unit}")

    def __len__(self) -> int:
        return len(self.symbols)

    @classmethod
    def build(cls, text: str | Iterable[str], *, min_count: int = 1, unknown: bool = False) -> "Vocabulary":
        """The characters of a text, given whole or in pieces.

        Args:
            text: what to count.
            min_count: characters that occur less often share the symbol `UNKNOWN`.
            unknown: have that symbol even where this text does not need it, for the sake of other texts.

        Raises:
            DataError: there is no text, or no character is frequent enough.
        """
        if min_count < 1:
            raise OptionError(f"min_count must be at least 1, not {min_count}")
        counts = np.zeros(_CODE_POINTS, np.int64)
        for piece in [text] if isinstance(text, str) else text:
            found = np.bincount(_code_points(piece))
            counts[: len(found)] += found
        if not counts.any():
            raise DataError("an empty text has no vocabulary")
        kept = counts >= min_count
        if not kept.any():
            raise DataError(
                f"no character occurs {min_count} times: the most frequent, {chr(counts.argmax())!r}, "
                f"occurs {counts.max()} times; lower min_count"
            )
        kept[ord(UNKNOWN)] |= unknown or bool((counts[~kept] > 0).any())
        return cls(tuple(map(chr, np.flatnonzero(kept).tolist())))

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        """The 256 bytes: any text in any script, at the price of longer sequences outside ASCII."""
        return cls(_BYTES, "bytes")

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """The smallest type that holds every number: uint8, uint16 or int32."""
        return np.dtype(np.uint8 if len(self) <= 1 << 8 else np.uint16 if len(self) <= 1 << 16 else np.int32)

    @property
    def unknown(self) -> int | None:
        """The number of `UNKNOWN`, if this vocabulary has it."""
        return self.symbols.index(UNKNOWN) if UNKNOWN in self.symbols else None

    def encode(self, text: str, unseen: Unseen = "unknown") -> Symbols:
        """The numbers of a text's symbols, one after the other.

        Args:
            text: what to encode.
            unseen: what becomes of characters that are not in the vocabulary. `unknown` writes the number
                of `UNKNOWN` for them, `error` refuses them, `skip` leaves them out.

        Returns:
            A one-dimensional array of type `dtype`.

        Raises:
            DataError: characters are unseen and refused, or `unknown` was asked of a vocabulary that has no
                such symbol.
        """
        if unseen not in ("unknown", "error", "skip"):
            raise OptionError(f"unseen is {unseen!r}; it is one of 'unknown', 'error', 'skip'")
        if self.unit == "bytes":
            try:
                return np.frombuffer(text.encode(errors="ignore" if unseen == "skip" else "strict"), np.uint8)
            except UnicodeEncodeError as error:  # half a surrogate pair has no UTF-8
                raise DataError(self._unseen([ord(error.object[error.start])])) from None
        codes = _code_points(text)
        numbers = self._numbers[codes]
        if len(lost := np.flatnonzero(numbers < 0)):
            if unseen == "skip":
                numbers = np.delete(numbers, lost)
            elif unseen == "unknown" and self.unknown is not None:
                numbers[lost] = self.unknown
            else:
                raise DataError(self._unseen(np.unique(codes[lost]).tolist()))
        return numbers.astype(self.dtype)

    def decode(self, numbers: Symbols | Sequence[int]) -> str:
        """The text that numbers stand for; bytes that are no UTF-8 come out as "\N{REPLACEMENT CHARACTER}".

        Raises:
            DataError: a number is not one of this vocabulary's.
        """
        decoder = self.decoder()
        return decoder.feed(numbers) + decoder.finish()

    def decoder(self) -> "Decoder":
        """For text that arrives symbol by symbol: a character is given out once all its bytes are there."""
        return Decoder(self)

    def to_json(self) -> dict[str, str]:
        """This vocabulary as a small JSON object, the inverse of `from_json`."""
        return {"unit": self.unit, "symbols": "" if self.unit == "bytes" else "".join(self.symbols)}

    @classmethod
    def from_json(cls, data: object) -> "Vocabulary":
        """The vocabulary that `to_json` wrote; `DataError` if it is anything else."""
        match data:
            case {"unit": "bytes"}:
                return cls.of_bytes()
            case {"unit": "characters", "symbols": str(symbols)}:
                return cls(tuple(symbols))
        raise DataError("not a vocabulary: a JSON object with a known 'unit' and a string of 'symbols' is expected")

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int32]:
        """By code point: the symbol's number, or -1."""
        table = np.full(_CODE_POINTS, -1, np.int32)
        table[self._values] = np.arange(len(self), dtype=np.int32)
        return table

    @cached_property
    def _values(self) -> npt.NDArray[np.uint32] | npt.NDArray[np.uint8]:
        """By number: the code point, or the byte."""
        return np.arange(256, dtype=np.uint8) if self.unit == "bytes" else _code_points("".join(self.symbols))

    def _unseen(self, codes: list[int]) -> str:
        shown = ", ".join(f"{chr(c)!r} (U+{c:04X})" for c in codes[:5])
        more = f" and {len(codes) - 5} more" if len(codes) > 5 else ""
        return (
            f"{shown}{more} not among the {len(self)} {self.unit} of the vocabulary; leave them out of the text, "
            "or say what becomes of them: unseen 'skip' or 'unknown'"
        )


class Decoder:
    """Text from numbers that arrive little by little.

    >>> decoder = Vocabulary.of_bytes().decoder()
    >>> [decoder.feed([byte]) for byte in "né".encode()]
    ['n', '', 'é']
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        form = "utf-8" if vocabulary.unit == "bytes" else "utf-32-le"
        self._decoder = codecs.getincrementaldecoder(form)("replace")

    def feed(self, numbers: Symbols | Sequence[int]) -> str:
        """What can be said of the text so far, beyond what was given out before."""
        ids = np.asarray(numbers).reshape(-1)
        if ids.size == 0:
            return ""
        size = len(self._vocabulary)
        lost = ids[(ids < 0) | (ids >= size)] if ids.dtype.kind in "iu" else ids
        if lost.size:
            raise DataError(f"no symbol has the number {lost[0]}: they are whole and go from 0 to {size - 1}")
        return self._decoder.decode(self._vocabulary._values[ids].tobytes())

    def finish(self) -> str:
        """What is left of a character that was cut short: "\N{REPLACEMENT CHARACTER}" or nothing."""
        return self._decoder.decode(b"", final=True)


def _is_character(symbol: object) -> bool:
    return isinstance(symbol, str) and len(symbol) == 1 and not "\ud800" <= symbol <= "\udfff"


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    # A command line hands on bytes that are no UTF-8 as lone surrogates: passed here, refused as unseen above.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
