"""Look at a classifier or a tagger: its gates, its states and what it says, word by word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rekur.data import collate
from rekur.errors import DataError
from rekur.inspect import Looked, Told, look, tell
from rekur.tasks.predictor import Predictor
from rekur.tasks.problem import NOT_ASKED, Array, Problem, Sequences

_COUNTED = 128  # sequences that saturation is counted over
_FEW, _MANY = 6, 32  # steps of a sequence that is good to look at
_SHOWN = 60  # steps shown at most
_NAMED = 3  # errors of a sequence that are named


def look_at(predictor: Predictor, examples: Sequences, rows: int = 3) -> Looked:
    """What happens in a model as it reads some of the examples, and how often its gates are saturated in all.

    Shown are, of those neither short nor long, by turns one that it gets right and one that it gets wrong.
    The saturation is counted over no more than the 128 first of the others. DataError where there are no examples.
    """
    examples = examples.select([i for i, one in enumerate(examples.inputs) if len(one)])
    if not len(examples):
        raise DataError("there is no sequence to look at: all are empty")
    shown = _chosen(predictor, examples, rows)
    others = [i for i in range(len(examples)) if i not in set(shown)]
    some = examples.select([*shown, *others[: _COUNTED - len(shown)]])
    x, lengths = collate(some.inputs)
    problem = predictor.problem
    text = [problem.steps(given) for given in some.shown]
    looked = look(predictor.model, x, text if len(some) > 1 else text[0], lengths, rows=len(shown), steps=_SHOWN)
    outputs = predictor.outputs(some.inputs[: len(shown)])
    told: list[Told] = []
    for given, wanted, output, one in zip(some.shown, some.targets, outputs, some.inputs, strict=False):
        note = said(problem, given, wanted, output)
        told.append(tell(predictor.model, one, problem.labels, steps=_SHOWN, note=note))
    return replace(looked, told=tuple(told))


def _chosen(predictor: Predictor, examples: Sequences, rows: int) -> list[int]:
    """Those to show: right and wrong by turns, as far as it is known."""
    good = [i for i, one in enumerate(examples.inputs) if _FEW <= len(one) <= _MANY][:_COUNTED]
    good += [i for i in range(min(len(examples), rows)) if i not in good]
    outputs = predictor.outputs([examples.inputs[i] for i in good])
    wrong = [i for i, y in zip(good, outputs, strict=True) if misses(predictor.problem, examples.targets[i], y)]
    right = [i for i in good if i not in set(wrong)]
    turns = [i for pair in zip(right, wrong, strict=False) for i in pair]
    turns += [*right[len(wrong) :], *wrong[len(right) :]]
    return turns[:rows]


def misses(problem: Problem, wanted: Any, output: Array) -> bool:
    """Whether a class that was asked for is not the likeliest; nothing is missed where it is not known."""
    if wanted is None or not problem.labels:
        return False
    wanted = np.asarray(wanted)
    return bool(((output.argmax(-1) != wanted) & (wanted != NOT_ASKED)).any())


def said(problem: Problem, given: Any, wanted: Any, output: Array) -> str:
    """What a model says of a sequence, and what it is, in a line."""
    if not problem.labels:
        known = "" if wanted is None or problem.pooling is None else f", it is {float(wanted):.3g}"
        return f"Predicted {float(output[0]):.3g}{known}" if problem.pooling else "What it says"
    guessed = output.argmax(-1)
    if problem.pooling is not None:
        line = f"Predicted {problem.labels[guessed]} ({output[guessed]:.0%})"
        return f"{line}; wrong, it is {problem.labels[wanted]}" if misses(problem, wanted, output) else line
    if wanted is None:
        return "What it says of each step"
    asked = np.asarray(wanted) != NOT_ASKED
    wrong = np.flatnonzero((guessed != wanted) & asked)
    line = f"{int(asked.sum()) - len(wrong)} of {int(asked.sum())} right"
    steps = problem.steps(given)
    some = "; ".join(
        f"“{steps[at]}” is {problem.labels[wanted[at]]}, not {problem.labels[guessed[at]]}" for at in wrong[:_NAMED]
    )
    return f"{line}: {some}{' …' if len(wrong) > _NAMED else ''}" if some else line
