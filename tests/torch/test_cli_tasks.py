"""Supervised tasks from the command line: train, eval, predict, report, several cells, and what goes wrong."""

import re
import shutil
from pathlib import Path

import pytest

from rekur.cli import main
from rekur.tasks import sources
from rekur.train import RunFolder, display
from tests.torch.charlm_tiny import one_thread
from tests.torch.test_cli import Capture, refused, said
from tests.torch.train_tiny import Crash, CrashAt, record

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

SMALL = "--days 12 --sequences 40 --held-out 20 --hidden 6 --batch 8 --steps 20 --eval-every 10 --threads 1".split()  # noqa: SIM905
SUMS = "--time 6 --sequences 40 --held-out 20 --hidden 4 --batch 8 --steps 4 --eval-every 2 --threads 1".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("cli")
    assert main(["train", "icecream", *SMALL, "--runs", str(root)]) == 0
    return RunFolder.open(root / "icecream")


@pytest.fixture
def weather(tmp_path: Path) -> Path:
    path = tmp_path / "weather.csv"
    path.write_text("location,weather\n" + "A,sun\nA,drizzle\nB,fog\nA,sun\nA,sun\n", encoding="utf-8")
    return path


def test_a_trained_run_is_measured_on_its_own_data_and_on_a_file(run: RunFolder, weather: Path, capsys: Capture):
    test = run.events()[-1]["test"]
    out = said(capsys, "eval", run.path)
    assert out.startswith(f"test, drawn weather: 240 days, by {run.checkpoint('best')}\n")
    assert f"{test['loss']:.4f} nats" in out
    assert f"{100 * test['accuracy']:.2f} % right" in out
    best = min((e for e in run.events() if e["kind"] == "eval"), key=lambda e: e["loss"])
    assert f"{best['loss']:.4f} nats" in said(capsys, "eval", run.path, "--split", "validation")
    assert "weather.csv: 5 days" in said(capsys, "eval", run.path, weather)
    assert "split is 'train'; it must be test or validation" in refused(
        capsys, "eval", run.path, "--split", "train", code=2
    )


def test_a_data_set_by_its_name(run: RunFolder, weather: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "find", lambda dataset, cache: {"weather": weather}[dataset.name])
    assert "\nweather: 5 days" in "\n" + said(capsys, "eval", run.path, "weather")
    assert "weather   soss\n" in said(capsys, "predict", run.path, "weather")


def test_it_predicts_its_own_test_data_and_a_file(run: RunFolder, weather: Path, capsys: Capture):
    out = said(capsys, "predict", run.path, "--count", "2")
    assert len(re.findall(r"^weather   [so.]{12}$", out, re.MULTILINE)) == 2
    assert out.endswith("2 of 20 sequences; --count 0 shows all\n")
    out = said(capsys, "predict", run.path, weather, "--count", "0")
    assert re.findall(r"^weather   (.*)$", out, re.MULTILINE) == ["soss", "."]
    assert re.findall(r"^stock     (.*)$", out, re.MULTILINE) == ["1100", "2"]
    assert "count is -1" in refused(capsys, "predict", run.path, "--count", "-1", code=2)


def test_a_checkpoint_by_itself_predicts_a_file(run: RunFolder, weather: Path, tmp_path: Path, capsys: Capture):
    kept = shutil.copytree(run.checkpoint("best"), tmp_path / "kept")
    assert said(capsys, "predict", kept, weather) == said(capsys, "predict", run.path, weather)
    assert "is not a run folder" in refused(capsys, "predict", kept)


def test_help_is_that_of_the_run_s_task(run: RunFolder, capsys: Capture):
    out = said(capsys, "eval", run.path, "--help")
    assert "--split SPLIT" in out
    assert "--streams" not in out
    for name, options in {
        "icecream": ["--days INT", "weather options"],
        "memory": ["--problem", "--cells CELL"],
    }.items():
        out = said(capsys, "train", name, "--help")
        assert f"usage: rekur train {name}" in out
        assert [option for option in options if option not in out] == []
    assert all(f"rekur train {name}" in said(capsys, "train", "--help") for name in ("charlm", "icecream", "memory"))


def test_a_killed_run_goes_on_to_the_same_losses(
    run: RunFolder, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(display, "open_display", lambda folder: CrashAt(13))
        with pytest.raises(Crash):
            main(["train", "icecream", *SMALL, "--runs", str(tmp_path)])
    out = said(capsys, "train", "--resume", tmp_path / "icecream")
    assert "going on from step 10" in out
    folder = RunFolder.open(tmp_path / "icecream")
    assert record(folder) == record(run)
    assert "Held-out days" in folder.report.read_text(encoding="utf-8")


def test_several_cells_have_a_run_each_and_a_table(tmp_path: Path, capsys: Capture):
    out = said(capsys, "train", "memory", *SUMS, "--runs", tmp_path, "--cells", "elman", "highway:2")
    table = out.partition("\n\nrun ")[2].splitlines()
    assert table[0].split() == ["cell", "weights", "steps", "time", "loss,", "test"]
    assert [line.split()[:2] for line in table[1:]] == [
        [str(tmp_path / "memory-elman"), "elman"],
        [str(tmp_path / "memory-highway-2"), "highway:2"],
    ]
    for line in table[1:]:
        test = RunFolder.open(Path(line.split()[0])).events()[-1]["test"]["loss"]
        assert float(line.split()[-1]) == pytest.approx(test, rel=1e-3)
    listed = said(capsys, "runs", tmp_path)
    assert "a loss in brackets is a mean of squared errors" in listed
    assert "not be" in refused(capsys, "predict", tmp_path / "memory-elman", "x.csv", code=2)


def test_a_wrong_cell_is_named_before_any_is_trained(tmp_path: Path, capsys: Capture):
    command = ["train", "memory", *SUMS, "--runs", str(tmp_path / "runs"), "--cells", "elman", "lsmt"]
    assert "did you mean 'lstm'?" in refused(capsys, *command, code=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train icecraem", "there is no task 'icecraem'; did you mean 'icecream'?"),
        ("train icecream --days 0", "days is 0; it must be 1 or more"),
        ("train icecream --cell lsmt", "did you mean 'lstm'?"),
        ("train memory --problem digits --time 9", "digits have as many steps as pixels"),
        ("train memory x.csv", "'x.csv' would not be read: the adding problem is generated; leave it out"),
        ("predict {run} --count -2", "count is -2; it must be 0 or more"),
    ],
)
def test_an_option_that_makes_no_sense(command: str, message: str, run: RunFolder, capsys: Capture):
    assert message in refused(capsys, *command.format(run=run.path).split(), code=2)


def test_a_file_that_is_no_weather(run: RunFolder, tmp_path: Path, capsys: Capture):
    (tmp_path / "w.csv").write_text("day,sky\n1,blue\n", encoding="utf-8")
    for command in (["train", "icecream"], ["eval", str(run.path)], ["predict", str(run.path)]):
        assert "has no column 'weather'; it has day, sky" in refused(capsys, *command, str(tmp_path / "w.csv"))
        assert "there is no file" in refused(capsys, *command, str(tmp_path / "none.csv"))
        assert "did you mean 'weather'?" in refused(capsys, *command, "wether")
    assert "of task 'icecream', not of 'charlm'" in refused(capsys, "sample", run.path)
    assert "did you mean 'icecream'?" in refused(capsys, "predict", run.path.parent / "icecreem")
