"""Draw the gallery again: docs/gallery.md and docs/pictures. Run it as `python docs/gallery.py`."""

import shlex
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from rekur.cli import main

CELLS = [
    ("elman", "draw elman", "An Elman network: the input comes from below, the state before the step from the left."),
    ("lstm", "draw lstm", "An LSTM. The thick line is the memory cell, which is only weighed and added to."),
    ("lstm-dark", "draw lstm --dark", "The same for a dark slide."),
    ("gru", "draw gru", "A gated recurrent unit: update and 1 − update share the state out between new and old."),
    ("peephole", "draw peephole", "An LSTM whose gates see the memory cell."),
    ("highway", "draw highway:2", "A recurrent highway network: two transitions a step."),
    ("attend", "draw attend", "Attention inside the step, which looks at a memory before it moves on."),
]
CIRCUITS = [
    ("elman-circuit", "draw elman --kind circuit --losses", "An Elman network with its loss and target."),
    ("lstm-circuit", "draw lstm --kind circuit --layers 2", "Two layers of LSTM, which has two states."),
]
UNFOLDED = [
    ("elman-unfolded", "draw elman --kind unfolded --losses", "An Elman network with its losses and targets."),
    ("lstm-unfolded", "draw lstm --kind unfolded --layers 2", "Two layers of LSTM."),
    ("gru-bidirectional", "draw gru --kind unfolded --bidirectional --steps 3", "One chain in each direction."),
    (
        "gru-residual",
        "draw gru --kind unfolded --layers 3 --connections residual --steps 3",
        "Layers that add to what they read.",
    ),
]
SHAPES = [
    ("one-to-one", "draw elman --kind unfolded --shape one-to-one", "One to one."),
    ("one-to-many", "draw lstm --kind unfolded --shape one-to-many --feedback", "One to many, fed its own output."),
    ("many-to-one", "draw gru --kind unfolded --shape many-to-one", "Many to one."),
    ("many-to-many", "draw gru --kind unfolded --embedding", "Many to many, step by step, with an embedding."),
    (
        "encoder-decoder",
        "draw gru --kind unfolded --shape encoder-decoder --steps 3",
        "Encoder and decoder: the decoder starts from the context C that the encoder leaves, and always reads it.",
    ),
]
LATTICE = [("lattice", "draw lstm2d --kind lattice --steps 3", "A two-dimensional LSTM on a skewed image.")]
VALUES = [
    ("expression", 'draw "f*c + i*g" f=1 c=0.5 i=1 g=-1', "A plus copies what comes in, a times switches."),
    ("elman-flow", "draw elman --kind flow x=1,0 h=0,1", "The same inside a cell."),
]
NUMBERS = [
    ("step", 'step elman x=1,0 h=0,1 "W=[[1.5,-2],[0,1],[-1,0.5],[2,0]]"', "Equation by equation."),
    ("through", 'step lstm --text "hello"', "A run of an LSTM through a text, gate by gate."),
]
CHAPTERS = {  # heading -> what there is to see, and the pictures: file, command, what it is
    "Inside a cell": (
        """\
A rectangle is a gate: a sum of products with weights, and its activation. A circle works number by number. A thick
line is a state that runs straight through.""",
        CELLS,
    ),
    "A network as a circuit": ("A black square delays by one step.", CIRCUITS),
    "Unfolded in time": (
        """\
Inputs are at the bottom, time goes to the right. The weights are the same at every step; the lines below a picture
say which of the cell's own they are.""",
        UNFOLDED,
    ),
    "The five shapes": ("From one or many to one or many.", SHAPES),
    "On a lattice": ("Each site reads what sites beside it held before the step.", LATTICE),
    "Values and gradients": (
        "Above an edge is the value; below it the gradient, which is the local gradient times the incoming one.",
        VALUES,
    ),
    "A step with its numbers": ("The same is printed as text, or as LaTeX.", NUMBERS),
}

HEAD = """\
# Gallery

What [rekur draw and rekur step](../README.md#draw-it) make. `python docs/gallery.py` draws all of it again, and a
test holds it to that. Each picture stands with its command, as in

```console
$ rekur draw lstm -o lstm.svg
lstm.svg
```
"""


def draw(folder: Path) -> None:
    """Write gallery.md and pictures/ into a folder."""
    (folder / "pictures").mkdir(exist_ok=True)
    page = [HEAD]
    for heading, (about, pictures) in CHAPTERS.items():
        page.append(f"\n## {heading}\n\n{about}\n")
        for name, command, what in pictures:
            out = folder / "pictures" / f"{name}.svg"
            with redirect_stdout(StringIO()):
                code = main([*shlex.split(command), "-o", str(out)])
            if code:
                sys.exit(code)
            page.append(f"\n{what}\n\n<!-- not run: the gallery's own test runs it -->\n")
            page.append(f"```console\n$ rekur {command} -o {name}.svg\n```\n\n![{name}](pictures/{name}.svg)\n")
    (folder / "gallery.md").write_text("".join(page), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(__file__).parent)
