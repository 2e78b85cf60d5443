"""What to train on and what a model is made of. The fields' docstrings are the command line's help. No torch here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from tyro.conf import Positional, arg

from rekur.data import Unit
from rekur.errors import CheckpointError, OptionError

CACHE = Path.home() / ".cache" / "rekur"
"""Where encoded texts are kept."""

Config = TypeVar("Config")


@dataclass(frozen=True)
class TaskConfig:
    """All that a task is made from: a frozen dataclass whose bases are the groups of options that it has."""

    task: ClassVar[str]
    """The task's name in `rekur.tasks.table`"""

    def _check(self, name: str, fine: bool, rule: str) -> None:
        if not fine:
            raise OptionError(f"{name} is {getattr(self, name)}; it must be {rule}")

    def _at_least_one(self, *names: str) -> None:
        for name in names:
            self._check(name, getattr(self, name) >= 1, "1 or more")

    def _paths(self, name: str) -> None:
        given: Any = getattr(self, name)  # from Python also strings, or just one
        object.__setattr__(self, name, tuple(map(Path, [given] if isinstance(given, str | Path) else given)))

    def absolute(self, names: Sequence[str | Path] | str | Path) -> tuple[str, ...]:
        """Files by their absolute paths, for a run that goes on from another folder; other names as they are."""
        given = [names] if isinstance(names, str | Path) else names
        return tuple(str(Path(name).absolute()) if Path(name).exists() else str(name) for name in given)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for a run's `config.json`; files by their absolute paths."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value.absolute()) if isinstance(value, Path) else value


@dataclass(frozen=True)
class TextConfig:
    """What to read, and how it is cut."""

    group: ClassVar[str] = "text"

    files: Annotated[
        tuple[Path, ...],
        Positional,
        arg(metavar="[FILE …]", help_behavior_hint="(default: the source of Python's standard library)"),
    ] = ()
    """Text files, or folders of them."""
    unit: Unit = "characters"
    """What a symbol is."""
    min_count: int = 1
    """Characters that occur less often share one symbol."""
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    """Shares for training, validation and test, cut in this order."""
    batch: int = 32
    """B: streams of text that are read side by side."""
    time: int = 64
    """T: steps through which the gradient goes back; the state is carried on."""


@dataclass(frozen=True)
class NetworkConfig:
    """What the model is made of."""

    group: ClassVar[str] = "network"

    cell: Annotated[str, arg(metavar="CELL")] = "lstm"
    """A cell that `rekur cells` lists, or one of your own: my_cells.py:name."""
    hidden: int = 256
    """H: units of a layer."""
    layers: int = 2
    """Layers, one above the other."""
    embedding: int = 64
    """Size of the vectors that stand for symbols."""
    dropout: float = 0.1
    """Share of values dropped in training, never from step to step."""
    sizes: Annotated[dict[str, int], arg(metavar="AXIS INT …", help_behavior_hint="")] = field(default_factory=dict)
    """Sizes of further axes that the cell has, as: --sizes P 64."""
    backend: Annotated[str, arg(metavar="NAME")] = "auto"
    """How the cell runs: auto, cpu, fused or reference."""


@dataclass(frozen=True)
class SampleConfig:
    """What the model writes each time that it is validated."""

    group: ClassVar[str] = "sample"

    temperatures: Annotated[tuple[float, ...], arg(metavar="FLOAT …")] = (0.5, 0.8, 1.0)
    """One sample each; low ones are careful, high ones bold."""
    sample_length: int = 300
    """Symbols in a sample."""
    prompt: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: a new line)")] = ""
    """What samples begin with."""


@dataclass(frozen=True)
class CharLMConfig(SampleConfig, NetworkConfig, TextConfig, TaskConfig):
    """All that a character model is made from, but for how it is trained (`rekur.train.FitConfig`).

    >>> CharLMConfig(files="book.txt", cell="gru", hidden=128).layers
    2

    Raises OptionError for a value that makes no sense, naming the field.
    """

    task: ClassVar[str] = "charlm"

    def __post_init__(self) -> None:
        self._paths("files")
        self._at_least_one("hidden", "layers", "embedding", "batch", "time", "min_count", "sample_length")
        self._check("sizes", all(size >= 1 for size in self.sizes.values()), "1 or more each")
        self._check("dropout", 0 <= self.dropout < 1, "0 or more and below 1")
        self._check("temperatures", all(0 <= t < math.inf for t in self.temperatures), "finite numbers, 0 or more")
        whole = all(0 <= share <= 1 for share in self.split) and math.isclose(sum(self.split), 1)
        self._check("split", whole, "three shares that add up to 1")


def from_json(kind: type[Config], values: object) -> Config:
    """The configuration that a run's JSON holds; CheckpointError where it is not one."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    try:
        if not isinstance(values, Mapping) or not values.keys() <= known:
            raise TypeError(f"it has to be a table of some of {', '.join(sorted(known))}")
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (TypeError, ValueError, OptionError) as error:
        raise CheckpointError(f"the run's {kind.__name__} cannot be read: {error}") from error
