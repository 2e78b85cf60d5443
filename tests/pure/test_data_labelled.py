import csv
import json
import sys

import polars
import pytest

from rekur.data import read_labelled, read_series
from rekur.errors import DataError, OptionError


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


ROWS = [('A film, and "what" a film!', "pos"), ("Größe ist\nnicht alles", "neg"), ("so so", "pos")]


@pytest.mark.parametrize("form", ["csv", "semicolon", "tsv", "jsonl", "parquet", "tab"])
def test_every_format_gives_the_same(tmp_path, form):
    rows = [(text.replace("\n", " ") if form in ("tsv", "tab") else text, label) for text, label in ROWS]
    path = tmp_path / f"films.{'csv' if form == 'semicolon' else form}"
    if form == "parquet":
        polars.DataFrame({"label": [b for _, b in rows], "text": [a for a, _ in rows]}).write_parquet(path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"label": b, "text": a}) + "\n\n" for a, b in rows))
    elif form in ("csv", "semicolon"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            delimiter = "," if form == "csv" else ";"
            csv.writer(file, delimiter=delimiter).writerows([("label", "text"), *((b, a) for a, b in rows)])
    else:
        head = "label\ttext\n" + ("d\tstring\nclass\tmeta\n" if form == "tab" else "")
        path.write_text(head + "".join(f"{b}\t{a}\r\n" for a, b in rows))
    found = read_labelled(path)
    assert list(zip(found.inputs, found.labels, strict=True)) == rows
    assert found.rejected == ()
    assert len(found.sha256) == 64


BROKEN = (
    b"text,label\n"
    b"good,a\n"
    b",a\n"  # 3
    b"bare\n"  # 4
    b"one,too,many\n"  # 5
    b"caf\xe9,b\n"  # 6
    b'"quoted" wrongly,b\n'  # 7
    b"unlabelled,  \n"  # 8
    b"\n"
    b'"two\nlines",b\n'  # 10 and 11
    b"  ,b\n"  # 12
    b'"never closed,b\n'  # 13
    b"swallowed,b\n"
)


def test_broken_rows_are_kept_account_of(tmp_path):
    found = read_labelled(write(tmp_path, "films.csv", BROKEN))
    assert found.inputs == ("good", "two\nlines")
    assert found.labels == ("a", "b")
    assert [str(rejected) for rejected in found.rejected] == [
        "films.csv:3: the text in column 'text' is empty",
        "films.csv:4: it has 1 column, the first line has 2",
        "films.csv:5: it has 3 columns, the first line has 2",
        "films.csv:6: it is not UTF-8: byte 0xe9 after 'caf'",
        "films.csv:7: its quotes are broken: ',' expected after '\"'",
        "films.csv:8: it has no label in column 'label'",
        "films.csv:12: the text in column 'text' is empty",
        "films.csv:13: its quotes are broken, which takes it to line 14: unexpected end of data",
    ]
    assert found.describe()["rejected"] == 8
    assert found.summary(most=2).endswith("it has 1 column, the first line has 2\n  and 6 more")


@pytest.mark.parametrize("line", [3, 4, 5, 6, 7, 8, 12])
def test_or_they_stop_the_run(tmp_path, line):
    lines = BROKEN.splitlines(keepends=True)
    path = write(tmp_path, "films.csv", b"".join([lines[0], lines[1], lines[line - 1]]))
    with pytest.raises(DataError, match=r"films\.csv:3: .*; mend it, or pass over"):
        read_labelled(path, on_bad="stop")


def test_broken_lines_of_json(tmp_path):
    good = '{"text": "a", "label": 1}\n'
    bad = [
        '{"text": "a"\n',
        "[1]\n",
        '{"text": 3, "label": "x"}\n',
        '{"label": "x"}\n',
        '{"text": "b", "label": null}\n',
    ]
    found = read_labelled(write(tmp_path, "x.jsonl", good + "".join(bad)))
    assert (found.inputs, found.labels) == (("a",), ("1",))
    assert [r.where for r in found.rejected] == [f"x.jsonl:{n}" for n in (2, 3, 4, 5, 6)]
    assert [r.reason.partition(":")[0] for r in found.rejected] == [
        "it is not JSON",
        'it is no JSON object, as {"text"',
        "the text in column 'text' is no text but 3",
        "the text in column 'text' is missing",
        "it has no label in column 'label'",
    ]


def test_columns_are_guessed_from_their_names_or_from_what_is_in_them(tmp_path):
    path = write(tmp_path, "a.csv", "id,Stars,Review\n1,5,good\n2,1,bad\n")
    found = read_labelled(path)
    assert (found.inputs, found.labels) == (("good", "bad"), ("5", "1"))
    assert found.notes == (
        "texts are in column 'Review' and labels in column 'Stars', as guessed from the columns' names",
    )
    rows = "".join(f"{i},{'yes' if i % 3 else 'no'},words and more words {i}\n" for i in range(20))
    found = read_labelled(write(tmp_path, "b.csv", "number,verdict,remark\n" + rows))
    assert found.labels[:2] == ("no", "yes")
    assert found.inputs[0] == "words and more words 0"
    assert "as guessed from what is in the columns" in found.notes[0]
    found = read_labelled(path, text="id", label="Review")
    assert (found.inputs, found.labels, found.notes) == (("1", "2"), ("good", "bad"), ())


def test_a_file_without_names_is_not_read_as_if_it_had_them(tmp_path):
    path = write(tmp_path, "a.csv", "pos,what a film\nneg,never again\npos,splendid\n")
    with pytest.raises(DataError, match="looks like data \\('pos' is a label in the rows below\\)"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "begins with an empty line"),
        ("a.csv", "a,a\n1,2\n", "these repeat or are empty"),
        ("a.csv", "text,label\n", "has no examples; passed over: nothing"),
        ("a.csv", "text,label\n,x\n", "has no examples; passed over:\n  a.csv:2: the text"),
        ("a.csv", "text,label\n".encode("utf-16"), "iconv -f UTF-16"),
        ("a.csv", "größe,label\n".encode("latin-1"), "iconv -f LATIN1"),
        (
            "a.csv",
            "text,other\na,b\nc,d\ne,f\n",
            "cannot guess the column with labels among its columns 'text', 'oth",
        ),
        ("a.parquet", "PAR1", "is not Parquet"),
    ],
)
def test_what_is_no_table(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_labelled(write(tmp_path, name, content))


def test_columns_that_are_not_there_and_options_that_make_no_sense(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,b\n")
    with pytest.raises(
        OptionError, match="no column 'txet' for texts; did you mean 'text'\\?; it has 'text', 'label'"
    ):
        read_labelled(path, text="txet")
    with pytest.raises(OptionError, match="on_bad is 'ignore'"):
        read_labelled(path, on_bad="ignore")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"tables end in \.csv"):
        read_labelled(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_labelled(tmp_path / "b.csv")


def test_a_long_text_is_read_whole_and_the_limit_put_back(tmp_path):
    limit = csv.field_size_limit()
    found = read_labelled(write(tmp_path, "a.csv", f"text,label\n{'x' * 300_000},a\n"))
    assert len(found.inputs[0]) == 300_000
    assert csv.field_size_limit() == limit


def test_parquet_without_polars_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(DataError, match=r"pip install 'rekur\[data\]'"):
        read_labelled(write(tmp_path, "a.parquet", b""))


def test_a_selection(tmp_path):
    found = read_labelled(write(tmp_path, "a.csv", "text,label\na,x\nb,y\nc,\nd,x\n"))
    part = found.select([2, 0])
    assert (part.inputs, part.labels, part.rejected) == (("d", "a"), ("x", "x"), found.rejected)
    assert len(part) == 2


STEPS = "id,x,y,label\n1,0.5,1,wave\n1,0.75,2,wave\n2,0,0,rest\n1,0.25,3,wave\n"


def test_series_a_step_a_row(tmp_path):
    found = read_series(write(tmp_path, "a.csv", STEPS))
    assert [x.tolist() for x in found.inputs] == [[[0.5, 1], [0.75, 2], [0.25, 3]], [[0, 0]]]
    assert {str(x.dtype) for x in found.inputs} == {"float32"}
    assert found.labels == ("wave", "rest")
    assert (
        "features 'x', 'y' as rows, one series for each value in column 'id', labels in column 'label'"
        in found.notes[0]
    )
    chosen = read_series(tmp_path / "a.csv", features=["y"], label="label", sequence="id")
    assert chosen.notes == ()
    assert [x.tolist() for x in chosen.inputs] == [[[1], [2], [3]], [[0]]]


def test_a_series_with_a_broken_row_is_broken(tmp_path):
    rows = "3,1,?,rest\n3,1,1,rest\n4,1,1,rest\n4,1,1,wave\n5,1,nan,rest\n6,1,1,\n,1,1,rest\n7,1,1\n"
    found = read_series(write(tmp_path, "a.csv", STEPS + rows))
    assert found.labels == ("wave", "rest")
    assert [str(r) for r in found.rejected] == [
        "a.csv:6: line 6: '?' in column 'y' is not a finite number",
        "a.csv:8: the rows of its series have different labels: rest, wave",
        "a.csv:10: line 10: 'nan' in column 'y' is not a finite number",
        "a.csv:11: it has no label in column 'label'",
        "a.csv:12: it does not say which series it is of, in column 'id'",
        "a.csv:13: it has 3 columns, the first line has 4",
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_series_in_lists(tmp_path, form):
    rows = [
        {"kind": "a", "x": [1.0, 2.0, 3.0], "z": [0.0, 0.0, 1.0]},
        {"kind": "b", "x": [4.0], "z": [5.0]},
        {"kind": "a", "x": [1.0, 2.0], "z": [0.0]},
        {"kind": "a", "x": [], "z": []},
    ]
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        polars.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_series(path, label="kind")
    assert [x.tolist() for x in found.inputs] == [[[1, 0], [2, 0], [3, 1]], [[4, 5]]]
    assert found.labels == ("a", "b")
    assert [r.where for r in found.rejected] == [f"a.{form}:3", f"a.{form}:4"]


def test_series_with_several_features_in_one_list(tmp_path):
    found = read_series(write(tmp_path, "a.jsonl", '{"x": [[1, 2], [3, 4], [5, 6]], "label": 0}\n'), label="label")
    assert found.inputs[0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_series_that_cannot_be_told_apart(tmp_path):
    path = write(tmp_path, "a.csv", "t,x,label\n1,2,a\n")
    with pytest.raises(DataError, match="cannot guess the column that says which series a row is of"):
        read_series(path)
