"""Tasks: data, model, loss, metric and demonstration of one kind of problem each.

Names are imported when they are first used: showing help loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "CharLM": "charlm",
    "CharLMConfig": "config",
    "ClassifyConfig": "classify",
    "IceCreamConfig": "icecream",
    "Inspection": "inspection",
    "MemoryConfig": "memory",
    "Predictor": "predictor",
    "Score": "text_model",
    "SequenceInspection": "inspected_sequences",
    "TagConfig": "tag",
    "TextInspection": "inspected_text",
    "TextModel": "text_model",
    "inspect_run": "inspection",
    "load_model": "text_model",
    "load_predictor": "predictor",
    "resume": "start",
    "train": "start",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.tasks.charlm import CharLM as CharLM
    from rekur.tasks.classify import ClassifyConfig as ClassifyConfig
    from rekur.tasks.config import CharLMConfig as CharLMConfig
    from rekur.tasks.icecream import IceCreamConfig as IceCreamConfig
    from rekur.tasks.inspected_sequences import SequenceInspection as SequenceInspection
    from rekur.tasks.inspected_text import TextInspection as TextInspection
    from rekur.tasks.inspection import Inspection as Inspection
    from rekur.tasks.inspection import inspect_run as inspect_run
    from rekur.tasks.memory import MemoryConfig as MemoryConfig
    from rekur.tasks.predictor import Predictor as Predictor
    from rekur.tasks.predictor import load_predictor as load_predictor
    from rekur.tasks.start import resume as resume
    from rekur.tasks.start import train as train
    from rekur.tasks.tag import TagConfig as TagConfig
    from rekur.tasks.text_model import Score as Score
    from rekur.tasks.text_model import TextModel as TextModel
    from rekur.tasks.text_model import load_model as load_model


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.tasks' has no attribute {name!r}")
    return getattr(import_module(f"rekur.tasks.{_HOME[name]}"), name)
