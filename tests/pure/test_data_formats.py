import gzip

import numpy as np
import polars
import pytest

from rekur.data import Words, read_array, read_brown, read_conll, read_conllu, read_idx, read_ts, read_vectors
from rekur.errors import DataError, OptionError


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CONLL = b"""\
-DOCSTART- -X- O O

EU NNP I-NP B-ORG
rejects VBZ I-VP O

Caf\xe9 NN I-NP O

Peter NNP I-NP B-PER
Blackburn NNP I-NP

\xc3\x89mile NNP I-NP B-PER
"""


def test_conll_columns(tmp_path):
    path = write(tmp_path, "names.txt", CONLL)
    found = read_conll(path)
    assert found.inputs == (("EU", "rejects"), ("Émile",))
    assert found.labels == (("B-ORG", "O"), ("B-PER",))
    assert [str(r) for r in found.rejected] == [
        "names.txt:6: it is not UTF-8: byte 0xe9 after 'Caf'",
        "names.txt:9: it has 3 columns, the first line has 4",
    ]
    assert read_conll(path, tag=1).labels[0] == ("NNP", "VBZ")
    assert read_conll(path, tag=1, ragged=True).labels[1:] == (("NNP", "NNP"), ("NNP",))
    with pytest.raises(DataError, match=r"names\.txt:6: it is not UTF-8"):
        read_conll(path, on_bad="stop")
    for column in (4, -5):
        with pytest.raises(OptionError, match=f"has 4 columns; there is no column {column} for the tags"):
            read_conll(path, tag=column)
    with pytest.raises(OptionError, match="both to be in column 0"):
        read_conll(path, tag=-4)


def test_columns_parted_by_tabs_keep_their_spaces(tmp_path):
    found = read_conll(write(tmp_path, "a.tsv", "New York\tB-LOC\r\nis\tO\r\n\r\n\tO\r\n\r\nbig\t\r\n"))
    assert found.inputs == (("New York", "is"),)
    assert [str(r) for r in found.rejected] == ["a.tsv:4: its word is missing", "a.tsv:6: its tag is missing"]


CONLLU = """\
# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\tD\t_\t5\tdet\t_\t_
4.1\tgran\tgran\tADJ\tA\t_\t_\t_\t_\t_
5\tmar\tmar\tNOUN\tN\t_\t1\tobl\t_\t_

# text = roto
1\troto\tromper\tVERB

"""


def test_conllu(tmp_path):
    path = write(tmp_path, "a.conllu", CONLLU)
    found = read_conllu(path)
    assert found.inputs == (("Vamos", "nos", "a", "el", "mar"),)
    assert found.labels == (("VERB", "PRON", "ADP", "DET", "NOUN"),)
    assert [str(r) for r in found.rejected] == ["a.conllu:13: it has 4 columns, CoNLL-U has 10"]
    assert read_conllu(path, tag="deprel").labels[0][0] == "root"
    with pytest.raises(DataError, match=r"a\.conllu:7: its tag is missing"):
        read_conllu(path, tag="XPOS", on_bad="stop")
    with pytest.raises(OptionError, match="no column 'POS'; did you mean"):
        read_conllu(path, tag="POS")


def test_brown(tmp_path):
    write(tmp_path, "ca01", b"\n\n\tThe/at County/nn-tl 1/2/cd isn't/bez* caf\xe9/fw-nn ./.\n")
    write(tmp_path, "cr09", "broken word/nn\n\n--/-- ,/,-hl I'd/ppss+hvd\n")
    write(tmp_path, "README", "not/read\n")
    found = read_brown(tmp_path)
    assert found.inputs == (("The", "County", "1/2", "isn't", "café", "."), ("--", ",", "I'd"))
    assert found.labels == (("at", "nn", "cd", "bez", "fw", "."), ("--", ",", "ppss"))
    assert [str(r) for r in found.rejected] == ["cr09:1: 'broken' has no word or no tag"]


TS = """\
#A comment
@problemName Vowels
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true 1 2
@data
1.5,2,3:4,5,6:1
1,2:3,4:2
1,?:3,4:2
1,2:3:2
1:2:3
1:2
1,nan:3,4:1
"""


def test_ts(tmp_path):
    path = write(tmp_path, "a.ts", TS)
    found = read_ts(path)
    assert [x.tolist() for x in found.inputs] == [[[1.5, 4], [2, 5], [3, 6]], [[1, 3], [2, 4]]]
    assert found.inputs[0].dtype == np.float32
    assert found.labels == ("1", "2")
    assert [str(r) for r in found.rejected] == [
        "a.ts:11: a value is missing or no number",
        "a.ts:12: its features have different lengths",
        "a.ts:13: its label '3' is not among 1, 2",
        "a.ts:14: it has 1 features, the first has 2",
        "a.ts:15: a value is not a finite number",
    ]
    with pytest.raises(DataError, match="time stamps, which rekur does not read"):
        read_ts(write(tmp_path, "b.ts", TS.replace("@timeStamps false", "@timeStamps true")))
    for cut in ("@data\n", "@classLabel true 1 2\n"):
        with pytest.raises(DataError, match="no line '@data' or no '@classLabel true'"):
            read_ts(write(tmp_path, "c.ts", TS.replace(cut, "")))


def idx(*shape, values):
    head = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return head + bytes(values)


def test_idx(tmp_path):
    images = write(tmp_path, "i-ubyte", idx(2, 3, 2, values=[0, 51, 255, *range(9)]))
    labels = write(tmp_path, "l-ubyte.gz", gzip.compress(idx(2, values=[7, 0])))
    found = read_idx(images, labels)
    assert found.labels == ("7", "0")
    assert found.inputs[0].shape == (3, 2)
    wanted = np.array([[0, 51], [255, 0], [1, 2]], np.float32) / 255
    assert (found.inputs[0] == wanted).all()
    for broken in (b"", idx(2, 3, 2, values=range(11)), idx(12, values=range(12)), b"\x00\x00\x0d\x03" + bytes(20)):
        with pytest.raises(DataError, match="is not an idx file"):
            read_idx(write(tmp_path, "broken", broken), labels)
    with pytest.raises(DataError, match=r"has 2 pictures, and .* has 3 labels"):
        read_idx(images, write(tmp_path, "three", idx(3, values=[1, 2, 3])))
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(images, write(tmp_path, "no.gz", b"no"))


GLOVE = "the 0.5 1\n. . -3 4\nrose -1 2\nthe 9 9\n"
WORDS = Words(("the", "Rose", "nose", ". ."))


@pytest.mark.parametrize("head", ["", "4 2\n"])
def test_vectors_of_glove_and_word2vec(tmp_path, head):
    found = read_vectors(write(tmp_path, "v.txt", head + GLOVE), WORDS)
    assert found.values.tolist() == [[0.5, 1], [-1, 2], [0, 0], [-3, 4]]
    assert found.found.tolist() == [True, True, False, True]
    assert found.lowered == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\nrose 1\n", r"v\.txt:2: 1 values, the first line has 2"),
        ("the 1 x\n", r"v\.txt:1: the vector of 'the' holds what is no number"),
        ("der 1 2\n", "a vector for none of the 4 words"),
        ("", "a vector for none of the 4 words"),
    ],
)
def test_vectors_that_are_damaged(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_vectors(write(tmp_path, "v.txt", content), WORDS)


def test_vectors_as_an_array_with_an_index(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "v.npy", values)
    polars.DataFrame({"index": ["the", "rose", "x"]}).write_parquet(tmp_path / "i.parquet")
    found = read_array(tmp_path / "v.npy", tmp_path / "i.parquet", WORDS)
    assert found.values.tolist() == [[0, 1], [2, 3], [0, 0], [0, 0]]
    assert (found.found.tolist(), found.lowered) == ([True, True, False, False], 1)
    np.save(tmp_path / "v.npy", values[:2])
    with pytest.raises(DataError, match=r"is \(2, 2\), and .* names 3 words"):
        read_array(tmp_path / "v.npy", tmp_path / "i.parquet", WORDS)
    np.save(tmp_path / "v.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="no numpy array"):
        read_array(tmp_path / "v.npy", tmp_path / "i.parquet", WORDS)
