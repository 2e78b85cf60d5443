"""`rekur demo`: watch a small network learn to write."""

import shlex

from rekur.cli import sample, train

OPTIONS = shlex.split(
    "--name demo --min-count 100 --split 0.98 0.01 0.01 --hidden 256 --layers 1 --dropout 0 "
    "--lr 4e-3 --steps 3600 --eval-every 600 --sample-length 250"
)
"""All that is fixed: sizes and steps for about three minutes on two cores."""
HELP = f"""\
usage: rekur demo [OPTIONS]

Train a small LSTM on the source of Python's standard library for about three minutes, and watch it learn to write.
It stands for this command, and takes further options of it:

  rekur train charlm {shlex.join(OPTIONS)}
"""


def run(arguments: list[str]) -> int:
    """Train with the options above and those given, then let the model write."""
    if {"-h", "--help"} & {*arguments}:
        print(HELP, end="")
        return 0
    asked = [*OPTIONS, *arguments]
    print(f"$ rekur train charlm {shlex.join(asked)}\n")
    folder, result = train.charlm(asked)
    if result.reason != "interrupted":
        more = ["sample", str(folder.path), "--temperature", "0.6"]
        print(f"\n$ rekur {shlex.join(more)}\n")
        sample.run(more[1:])
        print()
    return train.finish(folder, result)
