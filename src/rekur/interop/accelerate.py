"""`accelerate`: the recurrent layers of a model that somebody has, computed by rekur's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import jit, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from rekur.errors import OptionError
from rekur.nn import GRU, LSTM, RNN
from rekur.nn.dropin import DropIn

Class = type[nn.Module]
_OURS: dict[Class, Class] = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}
_TORCHS = {ours: torchs for torchs, ours in _OURS.items()}
_CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


@dataclass(frozen=True)
class Outcome:
    """What became of one recurrent layer."""

    name: str
    """Where it is in the model, "" where it is the model"""
    kind: str
    """The name of its class, as it was"""
    replaced: bool
    """Whether this call gave it the class of rekur; its parameters and all else of it stay what they are"""
    runs: str
    """Whose kernels run it as it is now: `rekur` or `torch`; or `itself`, where it was left as it is"""
    why: str
    """Half a sentence"""


class Acceleration:
    """What `accelerate` did to a model, layer by layer; `print` shows it, `undo` takes it back."""

    def __init__(self, model: str, layers: Sequence[tuple[Outcome, nn.Module]]) -> None:
        self._model = model
        self.layers = tuple(outcome for outcome, _ in layers)
        self._replaced = [module for outcome, module in layers if outcome.replaced]

    def undo(self) -> None:
        """Give the layers that were replaced the classes of torch back; a second time it does nothing."""
        for module in self._replaced:
            if type_before_parametrizations(module) in _TORCHS:
                _give_class(module, _TORCHS)

    def __str__(self) -> str:
        """A line for each layer."""
        if not self.layers:
            return f"{self._model} has no recurrent layer of torch.nn"
        rows = [(o.name or "(the model)", o.kind, o.runs, o.why) for o in self.layers]
        lines = [("layer", "kind", "runs on", "why"), *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def accelerate(model: nn.Module) -> Acceleration:
    """Have every torch.nn.LSTM, GRU and RNN of a model computed by rekur's kernels.

    Each layer gets the class of `rekur.nn` of the same name, and stays the object that it is: parameters, optimisers,
    tied and parametrised weights, hooks and `state_dict` go on as before. Results agree to the rounding of float32. A
    layer computes with rekur's kernels wherever a call is in float32 on the CPU, and with torch's elsewhere.

    Left as they are, and said so: cells (LSTMCell and the like), subclasses that are not torch's, layers whose
    `forward` was replaced on the object, quantised ones, and those that torch.jit has compiled. Undo it before a
    model is quantised, compiled by torch.jit.script, or saved whole (its `state_dict` is torch's in any case).

    Raises OptionError for what is not a module.

    >>> import torch
    >>> model = torch.nn.ModuleDict({"words": torch.nn.Embedding(100, 8), "rnn": torch.nn.LSTM(8, 16)})
    >>> report = accelerate(model)
    >>> print(report)
    layer  kind  runs on  why
    rnn    LSTM  rekur    lstm runs on cpu (compiled for this processor)
    >>> report.undo()
    """
    if not isinstance(model, nn.Module):
        raise OptionError(f"accelerate takes a model, a torch.nn.Module, got {type(model).__name__}")
    found: list[tuple[Outcome, nn.Module]] = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if reason := _kept(module):
            found.append((Outcome(name, kind, False, "itself", reason), module))
        elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
            new = type_before_parametrizations(module) in _OURS
            if new:
                _give_class(module, _OURS)
            found.append((_outcome(name, kind, module, new), module))
    return Acceleration(type(model).__name__, found)


def _kept(module: nn.Module) -> str | None:
    """Why a recurrent layer is left as it is; None for one that need not be, and for what is none."""
    cls, names = type_before_parametrizations(module), [c.__name__ for c in (*_OURS, *_CELLS)]
    if cls.__module__.startswith("torch.ao.nn.") and cls.__name__ in names:
        return "it is quantised"
    if isinstance(module, jit.ScriptModule) and getattr(module, "original_name", "") in names:
        return "torch.jit has compiled it"
    if isinstance(module, _CELLS) and not isinstance(module, DropIn):
        return "it takes one step at a call, which torch's kernels do faster"
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return None
    if "forward" in vars(module):
        return "its forward was replaced on the object"
    if cls not in _OURS and not isinstance(module, DropIn):
        base = next((c.__name__ for c in cls.__mro__ if c in _OURS), None)
        out = f"; derive it from rekur.nn.{base}" if base else ""
        return f"it is a subclass of torch.nn.{base or 'RNNBase'}, which rekur does not know{out}"
    return None


def _outcome(name: str, kind: str, module: nn.Module, replaced: bool) -> Outcome:
    assert isinstance(module, DropIn)
    reason = module.refusal()
    why = ("" if replaced else "was rekur's already; ") + (reason or module.explain())
    return Outcome(name, kind, replaced, "rekur" if reason is None else "torch", why)


def _give_class(module: nn.Module, table: dict[Class, Class]) -> None:
    """The class that a table has for a module's own; one that `parametrize` has put over it is made anew."""
    cls, after = type(module), table[type_before_parametrizations(module)]
    if is_parametrized(module):
        own = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
        after = type(cls.__name__, (after,), own)
    module.__class__ = after
