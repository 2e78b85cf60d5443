"""What rekur bench measures, and what it makes of it: points, rows, groups, aims, tables, plots, JSON."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rekur.bench import Failure, Floor, Point, Result, Row, every_point, measure_floor, select, short_points
from rekur.bench.floor import work
from rekur.bench.formulas import FORMULAS
from rekur.bench.peers import PEERS
from rekur.bench.plot import check_plot, draw
from rekur.bench.summary import AIMS, groups, mean, worst
from rekur.bench.table import show
from rekur.errors import DataError, OptionError
from tests.torch.charlm_tiny import one_thread

__all__ = ["one_thread"]

MACHINE: dict[str, Any] = {
    "processor": "Made Up 3000", "machine": "Linux x86_64, 2 cores", "threads": 2, "torch": "2", "rekur": "0",
    "load": 0.5, "product FLOP/s": 2e11, "reading bytes/s": {str(1 << 20): 1e11},
}  # fmt: skip
LSTM = Point("layer", "lstm", "training", 64, 8, 50)


def row(point: Point, peer: str, ratio: float, spread: float = 0.01, **more: Any) -> Row:
    """Seven pairs whose ratios lie within `spread` on both sides of `ratio`."""
    theirs = tuple(1e-3 * ratio * (1 + spread * i / 3) for i in range(-3, 4))
    return Row(point, peer, "seconds", (1e-3,) * 7, theirs, apart=1e-6, tolerance=1e-4, **more)


def full(ratio: float = 2.0) -> Result:
    """Every point that is raced, each with the same ratio."""
    result = Result(dict(MACHINE))
    for point in every_point():
        result.rows += [row(point, name, ratio, floor=5e-4) for name, peer in PEERS.items() if peer.races(point)]
    return result


def text(result: Result, width: int = 80) -> str:
    file = io.StringIO()
    show(result, Console(file=file, width=width))
    return file.getvalue()


# ---- points -------------------------------------------------------------------------------------------------


def test_the_grid_is_what_it_says():
    points = every_point()
    assert len({p.name for p in points}) == len(points) == 4 * 2 * 5 * 4 * 2 + 1 + 4 * 2 * 5 * 2 * 2 + 6
    assert {p.batch for p in points if p.part == "lengths"} == {32, 64}
    assert set(short_points()) <= set(points)
    for point in points:
        assert point.part in ("compile", "memory") or any(peer.races(point) for peer in PEERS.values())


def test_points_are_selected_by_their_name_or_by_labels():
    points = every_point()
    assert select(points, []) == points
    assert select(points, [LSTM.name]) == [LSTM]  # and not the same sizes in other parts
    own = select(points, ["own-h512-training"])
    assert {(p.cell, p.hidden, p.mode) for p in own} == {("own", 512, "training")}
    assert {p.part for p in own} == {"layer", "lengths"}
    both = select(points, ["step", "gru-b8-H64"])
    assert both == [p for p in points if p.part == "step" or {"gru", "b8", "h64"} <= set(p.labels)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lstn", "no point has the label 'lstn'; did you mean 'lstm'"),
        ("lstm-h65", "no point has the label 'h65'"),
        ("gru-h1024", "'gru-h1024' is not in the short form: add --full"),
        ("gru-elman", "no point is called 'gru-elman'"),
        ("", "no point has the label ''"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, said: str):
    with pytest.raises(OptionError, match=said):
        select(short_points(), ["lstm", name])


# ---- floors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "part", "mode", "products"),
    [
        ("lstm", "share", "training", 4 * (2 + 3)),
        ("lstm", "layer", "training", 4 * (3 + 3)),
        ("gru", "layer", "training", 3 * (3 + 3)),
        ("elman", "layer", "inference", 1 + 1),
        ("own", "layer", "training", 2 * (3 + 3)),
    ],
)
def test_work_counts_products_once_for_each_use(cell: str, part: str, mode: str, products: int):
    found = work(FORMULAS[cell].cell.graph, Point(part, cell, mode, 8, 2, 5), fill=0.5)
    assert found.operations == products * 2 * 8 * 8 * 2 * 5 * 0.5
    gates = {"lstm": 4, "gru": 3, "elman": 1, "own": 2}[cell]
    assert found.array == 4 * gates * 8 * 8
    assert found.bytes == found.array * (1 + 5 * (2 if mode == "training" else 1))


@pytest.mark.usefixtures("one_thread")
def test_the_floors_of_a_machine_are_measured():
    floor = measure_floor()
    assert floor.product > 1e8
    assert len(floor.reading) == 4
    assert min(floor.reading.values()) > 1e6
    assert floor == Floor(floor.product, floor.reading)


# ---- JSON ---------------------------------------------------------------------------------------------------


def test_results_go_to_json_and_back(tmp_path: Path):
    result = full()
    result.rows.append(Row(Point("compile", "own", "training", 64, 1, 1), "", "seconds", (0.1, 0.2, 0.3)))
    result.failures.append(Failure(LSTM, "jax", "Mismatch: y"))
    file = tmp_path / "bench.json"
    result.write(file)
    assert Result.read(file) == result
    assert list(tmp_path.iterdir()) == [file]
    values = json.loads(file.read_text())
    first = values["rows"][0]
    assert first["ratios"] == pytest.approx(result.rows[0].ratios, rel=1e-3)
    assert first["ratio interval"]["median"] == 2.0
    assert first["verdict"] == "faster"
    assert "ratios" not in values["rows"][-1]
    assert len(file.read_text().splitlines()) == len(result.rows) + 2  # a row a line, for diffs


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "machine": {}, "rows": [{}], "failures": []}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"bench.json holds no results of rekur bench"):
        Result.read(file)
    with pytest.raises(DataError, match="holds no results"):
        Result.read(tmp_path / "nowhere")


def test_results_of_another_version_are_refused(tmp_path: Path):
    file = tmp_path / "bench.json"
    file.write_text('{"version": 99}')
    with pytest.raises(DataError, match="is of version 99; this rekur reads 1"):
        Result.read(file)


# ---- what rows say ------------------------------------------------------------------------------------------


def test_a_row_is_slower_only_where_its_whole_interval_is():
    assert [row(LSTM, "torch", r).verdict for r in (0.97, 0.995, 1.0, 1.005, 1.03)] == [
        "slower", "even", "even", "even", "faster",
    ]  # fmt: skip
    dense = row(LSTM, "dense", 1.6, fill=0.6)
    assert dense.ratio.median == pytest.approx(0.96)
    assert dense.verdict == "slower"


def test_groups_have_a_mean_a_worst_point_and_their_losses():
    small, other = Point("layer", "lstm", "training", 64, 1, 50), Point("layer", "gru", "training", 64, 1, 50)
    rows = [row(LSTM, "torch", 0.5), row(small, "torch", 2.0), row(LSTM, "bf16", 0.9), row(other, "torch", 3.0)]
    lstm, bf16, gru = groups(rows)
    assert (lstm.cell, lstm.peer, len(lstm.rows)) == ("lstm", "torch", 2)
    assert mean(lstm.rows) == pytest.approx(1.0)
    assert worst(lstm.rows) is rows[0]
    assert (lstm.count("slower"), lstm.count("faster"), bf16.count("slower"), gru.count("slower")) == (1, 1, 1, 0)


def test_the_worst_point_is_the_one_whose_interval_ends_lowest():
    wide, narrow = row(LSTM, "torch", 0.9, spread=0.3), row(LSTM, "torch", 0.95)
    assert worst([wide, narrow]) is narrow


def measured(ratio: float) -> dict[str, tuple[int, float, bool]]:
    """Aim -> how many rows it was read from, what was read, and whether that is enough; without what has no row."""
    rows = full(ratio).rows
    alone = Row(Point("compile", "own", "training", 64, 1, 1), "", "seconds", (1 / ratio,) * 7)
    rows += [alone, row(Point("memory", "lstm", "training", 512, 64, 100), "torch", ratio)]
    out = {}
    for aim in AIMS:
        these = [r for r in rows if aim.about(r)]
        if these:
            out[aim.what] = (len(these), aim.read(these), aim.reached(aim.read(these)))
            if aim.what != "compiling a new cell":
                assert aim.points == len({r.point for r in these})
    return out


def test_aims_are_read_from_the_rows_they_are_about():
    good, bad = measured(20.0), measured(0.5)
    assert len(good) == len(bad) == len(AIMS) - 2  # jax and onnxruntime were not raced
    assert {aim: counted for aim, (counted, _, _) in good.items()} == {
        "LSTM training against torch, mean": 40,
        "LSTM training against torch, worst": 40,
        "GRU, Elman training against torch, mean": 80,
        "GRU, Elman training against torch, worst": 80,
        "own cell against its loop, H128 B16": 1,
        "own cell against its loop, H512 B64": 1,
        "lengths: cost over dense × fill, worst": 160,
        "LSTM-512, one step against torch": 2,
        "sampling 2×512 LSTM against a torch loop": 1,
        "share of the product peak, LSTM training": 1,
        "compiling a new cell": 1,
        "memory of training, torch's over ours": 1,
    }
    assert {aim for aim, (_, _, reached) in good.items() if not reached} == {
        "share of the product peak, LSTM training"
    }
    assert not any(reached for _, _, reached in bad.values())
    assert good["LSTM training against torch, mean"][1] == pytest.approx(20.0)
    assert good["LSTM training against torch, worst"][1] == pytest.approx(20.2)
    assert good["lengths: cost over dense × fill, worst"][1] == pytest.approx(1 / 20.2)
    assert good["share of the product peak, LSTM training"][1] == pytest.approx(0.5)


# ---- tables and plots ---------------------------------------------------------------------------------------


def test_the_table_says_all_of_it_in_eighty_columns():
    result = full(1.5)
    assert result.rows[2].peer == "torch"
    result.rows[2] = row(result.rows[2].point, "torch", 0.8, floor=2e-4)
    result.failures.append(Failure(LSTM, "jax", "Mismatch: the output (8, 50, 64): apart by 2"))
    out = text(result)
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "Made Up 3000: Linux x86_64, 2 cores\n2 threads; torch 2, rekur 0\n" in out
    assert "products: 200 GFLOP/s; reading 1 MiB: 100 GB/s\n" in out
    assert "other work" not in out
    assert " ".join(out.split()).count("1 ms torch 800 µs 0.80 0.79–0.81 slower 20%") == 1
    assert out.count("slower") == 2  # that row, and the column of losses
    line = next(line for line in out.splitlines() if line.startswith("LSTM training") and "40" in line)
    assert line.split()[3:6] == ["40", "1.48", "0.80"]
    assert line.split()[-1] == "1"
    assert "own cell training against jax, mean" in out
    assert out.count("not measured") == 4
    assert "worst 40/40 0.81× ≥ 1.00× missed" in " ".join(out.split())
    assert "so far" not in out
    result.rows = result.rows[:2]
    assert "LSTM training against torch, mean 1/40 1.50× ≥ 1.30× reached so far" in " ".join(
        (short := text(result)).split()
    )
    assert "…" not in short
    assert "\nbf16: torch.nn.LSTM in bfloat16\n" in out
    assert "\njax: " not in out
    assert "FAILED lstm-training-h64-b8-t50 against jax: Mismatch: the output (8, 50, 64):" in out.replace("\n", " ")


def test_a_row_without_a_peer_and_one_of_memory():
    result = Result(dict(MACHINE))
    memory = Row(
        Point("memory", "lstm", "training", 512, 64, 100), "torch", "bytes", (2.0**20,) * 3, (3.0 * 2**20,) * 3
    )
    result.rows = [Row(Point("compile", "own", "training", 64, 1, 1), "", "seconds", (0.2, 0.25, 0.3)), memory]
    out = text(result)
    assert "own cell, compiling\n" in out.replace(" \n", "\n").replace("  ", "")
    assert "250 ms" in out
    assert "200 ms–300 ms" in out
    assert "H512 B64 T100 1 MiB torch 3 MiB 3.00 3.00–3.00" in " ".join(out.split())


def test_nothing_measured_is_said_without_tables():
    assert text(Result(dict(MACHINE))).count("\n") == 3


def test_a_busy_machine_is_a_warning():
    out = text(Result(MACHINE | {"load": 1.7}))
    assert "other work was going on when this began (load 1.7): trust no figure" in out


@pytest.mark.parametrize(("kind", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_plot_is_a_picture_of_the_kind_asked_for(tmp_path: Path, kind: str, begins: bytes):
    draw(full(), tmp_path / f"bench{kind}")
    assert (tmp_path / f"bench{kind}").read_bytes().startswith(begins)


def test_the_plot_shows_every_cell_and_says_what_it_cannot(tmp_path: Path):
    result = Result(dict(MACHINE), [row(LSTM, "torch", 0.5, floor=1e-4)])
    draw(result, tmp_path / "bench.svg")
    drawn = (tmp_path / "bench.svg").read_text()
    for words in ("LSTM against torch.nn", "own cell against its eager loop", "batch 64", "Made Up 3000, 2 threads"):
        assert f"<!-- {words}" in drawn
    with pytest.raises(DataError, match="nothing to plot"):
        draw(Result(dict(MACHINE)), tmp_path / "bench.svg")
    with pytest.raises(OptionError, match=r"'bench.gif': a plot's file ends in .png, .svg, .pdf"):
        check_plot(Path("bench.gif"))
