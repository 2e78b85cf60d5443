"""`rekur draw`: a cell, a network, or an expression with its values and gradients, as a picture."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from rekur.cells import load
from rekur.cli.options import parse
from rekur.errors import OptionError

if TYPE_CHECKING:
    from rekur.draw import Scene, Wiring
    from rekur.graph import Graph

Kind = Literal["cell", "circuit", "unfolded", "lattice", "flow"]


@dataclass(frozen=True)
class NetworkOptions:
    """How the network is wired, in the pictures "circuit" and "unfolded"."""

    layers: int = 1
    """Layers on each other."""
    bidirectional: bool = False
    """Whether each layer also reads from the end."""
    shape: Literal["one-to-one", "one-to-many", "many-to-one", "many-to-many", "encoder-decoder"] = "many-to-many"
    """From how many inputs to how many outputs."""
    connections: Literal["plain", "residual", "dense"] = "plain"
    """How layers read those below."""
    pooling: Annotated[
        Literal["last", "mean", "max"] | None, arg(metavar="{last,mean,max}", help_behavior_hint="")
    ] = None
    """How the steps become one output."""
    feedback: bool = False
    """Whether what comes out goes in at the next step."""
    embedding: bool = False
    """Whether symbols are looked up before the first layer."""
    losses: bool = False
    """Whether losses and targets are drawn."""


@dataclass(frozen=True)
class DrawOptions:
    """Draw a cell, a network of it, a run's network, or an expression with its values and gradients."""

    what: Annotated[str, Positional, arg(metavar="WHAT")]
    """A cell (lstm, or one of your own: my_cells.py:name), a run's folder, or an expression: "f*c + i*g"."""
    values: Annotated[tuple[str, ...], Positional, arg(metavar="[NAME=VALUE …]", help_behavior_hint="")] = ()
    """Numbers for the names in an expression, or for what a cell reads: f=1, x=1,0."""
    kind: Annotated[Kind | None, arg(metavar="{cell,circuit,unfolded,lattice,flow}", help_behavior_hint="")] = None
    """cell: inside; circuit: with a black square for a delay; unfolded: over steps; lattice: of a cell that reads
    neighbours; flow: values and gradients. By default what fits."""
    network: NetworkOptions = NetworkOptions()
    steps: int = 4
    """Steps of an unfolded network or a lattice."""
    sites: int = 3
    """Sites of a lattice."""
    seed: int = 0
    """Of the weights that "flow" makes up for a cell, where none are given."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="FILE", help_behavior_hint="(default: NAME.svg)")] = None
    """Where to: FILE.svg, or FILE.png."""
    dark: bool = False
    """Light on dark."""


def run(arguments: list[str]) -> int:
    """Write the picture and say where it is."""
    options = parse(DrawOptions, "draw", arguments)
    name, scene = _scene(options)
    out = options.out or Path(f"{name}.svg")
    write(scene, out, dark=options.dark)
    print(out)
    return 0


def write(scene: "Scene", out: Path, *, dark: bool) -> None:
    """Write a picture in the form that the file's name says."""
    from rekur.draw import to_png

    if out.suffix not in (".svg", ".png"):
        raise OptionError(f"{out}: a picture is written as .svg or .png")
    data = scene.svg(dark=dark).encode() if out.suffix == ".svg" else to_png(scene, dark=dark)
    try:
        out.write_bytes(data)
    except OSError as e:
        raise OptionError(f"{out} cannot be written: {e.strerror}") from None


def _scene(options: DrawOptions) -> "tuple[str, Scene]":
    from rekur.draw import assignments, draw_flow, expression, flow

    if Path(options.what).is_dir():
        return Path(options.what).name, _network(_run_wiring(Path(options.what)), options, "unfolded")
    if _is_expression(options):
        if options.kind not in (None, "flow"):
            raise OptionError(
                f"an expression is drawn with its values and gradients: leave out --kind {options.kind}"
            )
        done = flow(expression(options.what), assignments(options.values))
        return "expression", draw_flow(done, title=options.what)
    graph = load(options.what).graph
    kind = options.kind or ("flow" if options.values else "cell")
    if options.values and kind != "flow":
        raise OptionError(f"values are for --kind flow; {kind} shows none")
    return f"{graph.name}-{kind}", _cell(graph, kind, options)


def _is_expression(options: DrawOptions) -> bool:
    """Whether it is meant as one: names of cells have a - too, and paths a /."""
    from rekur.cells import ZOO

    cell, _, after = options.what.partition(":")
    if cell.endswith(".py") or after.endswith(".py") or cell in ZOO:
        return False
    return any(c in "+*( " for c in options.what) or (any(c in "-/" for c in options.what) and bool(options.values))


def _cell(graph: "Graph", kind: Kind, options: DrawOptions) -> "Scene":
    from rekur.draw import Wiring, assignments, completed, draw_cell, draw_flow, flow, lattice

    if kind == "cell":
        return draw_cell(graph)
    if kind == "flow":
        values = completed(graph, assignments(options.values), seed=options.seed)
        return draw_flow(flow(graph, values, sizes=dict.fromkeys(graph.axes, 2)))
    if kind == "lattice":
        return lattice(graph, options.steps, options.sites)
    n = options.network
    wiring = Wiring(
        graph, n.layers, n.bidirectional, n.connections, n.shape, n.pooling, n.feedback, n.embedding, losses=n.losses
    )
    return _network(wiring, options, kind)


def _network(wiring: "Wiring", options: DrawOptions, kind: Kind) -> "Scene":
    from rekur.draw import circuit, draw_cell, unfolded

    kind = options.kind or kind
    if kind == "cell":
        return draw_cell(wiring.graph)
    if kind in ("lattice", "flow"):
        raise OptionError(f"--kind {kind} is for a cell, not for a run: name its cell")
    return circuit(wiring) if kind == "circuit" else unfolded(wiring, options.steps)


def _run_wiring(path: Path) -> "Wiring":
    from rekur.tasks.rebuild import find_checkpoint, plan_of
    from rekur.train import load as load_checkpoint

    return replace(plan_of(load_checkpoint(find_checkpoint(path))).wiring(), losses=False)
