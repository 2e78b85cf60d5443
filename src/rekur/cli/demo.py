"""`rekur demo`: watch a small network learn to write."""

import shlex

from rekur.cli import sample, train

OPTIONS = shlex.split(
    "--name demo --threads 1 --min-count 100 --split 0.98 0.01 0.01 --layers 1 --dropout 0 --lr 6e-3 --steps 4500 "
    "--eval-every 750 --prompt 'def ' --sample-length 250"
)
"""All that is fixed. One thread: on a machine that does other things too, more of them wait for each other."""
HELP = f"""\
usage: rekur demo [OPTIONS]

Train a small LSTM on the source of Python's standard library for some minutes, and watch it learn to write.
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
    folder, result = train.new("charlm", asked)
    if result.reason != "interrupted":
        more = [str(folder.path), "--prompt", "def ", "--temperature", "0.7", "--seed", "0"]
        print(f"\n$ rekur sample {shlex.join(more)}\n")
        sample.run(more)
        print()
    return train.finish(folder, result)
