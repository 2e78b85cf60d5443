"""A walk through rekur: from one step of a recurrence to a trained model that writes.

Read it from top to bottom, and run it: `python docs/tour.py`. It takes some seconds on one core and leaves
nothing behind.
"""

import random
import tempfile
from pathlib import Path

import torch
from torch import nn

from rekur import Cell, Recurrent, State, compile, scan
from rekur.cells import cell, gate, sigmoid, tanh
from rekur.data import ContiguousStream, Vocabulary
from rekur.nn import initial_weights
from rekur.tasks import CharLMConfig, load_model, train
from rekur.train import FitConfig, Quiet

torch.manual_seed(0)
torch.set_num_threads(1)


def chapter(title: str) -> None:
    """Print a heading."""
    print(f"\n{title}\n{'-' * len(title)}\n")


chapter("1. A step is a function")

# A recurrent network reads a sequence step by step. At each step it has an input x and a state h, which is all
# that it remembers, and it makes the next state. So a network is one function, used again and again.
#
# This one has a gate: numbers between 0 and 1, one a unit. Where the gate is near 1 the unit keeps what it has,
# where it is near 0 it takes what is new.


@cell
def leaky(x, h):
    """A unit keeps what it has, or takes what is new."""
    keep = gate("keep", sigmoid, x, h, bias=1.0)
    new = gate("new", tanh, x, h=keep * h)
    return keep * h + (1 - keep) * new


# @cell called the function once, with symbols in the place of numbers, and wrote down what it did with them.
# From now on there are the equations. A word like `keep.x` is a weight, @ is a product, and h' is the next h.

print(leaky)

chapter("2. The same step as a graph")

# The equations are a view of a small graph, which is what rekur really works with. Here it is as text, one line an
# operation. [H] is a vector with one number a unit, [H I] is a matrix. The sizes H and I come later.

print(leaky.text)

# The text is the whole cell. It can be kept in a file, and read back without the function above.

assert Cell.from_text(leaky.text).structure == leaky.structure

chapter("3. Unfolding it over time")

# Now some weights, for 3 input features and 4 units, and two sequences of 6 steps. Tensors are always
# (batch, time, feature). `scan` is the loop over time: it takes the step once for each moment.

weights = initial_weights(leaky.graph, {"I": 3, "H": 4})
x = torch.randn(2, 6, 3)

kernel = compile(leaky)
result = scan(kernel, weights, x)

print("weights:", {name: tuple(w.shape) for name, w in weights.items()})
print("output: ", tuple(result.output.shape), "- the state h at every step")
print("state:  ", result.state, "- what it is after the last one")

chapter("4. The same by hand")

# There is no magic in it. Three steps, written out in torch:

h = torch.zeros(2, 4)
for t in range(3):
    keep = torch.sigmoid(x[:, t] @ weights["keep.x"].T + h @ weights["keep.h"].T + weights["keep.bias"])
    new = torch.tanh(x[:, t] @ weights["new.x"].T + (keep * h) @ weights["new.h"].T + weights["new.bias"])
    h = keep * h + (1 - keep) * new
    print(f"step {t}: by hand {h[0, 0]:+.6f}, by scan {result.output[0, t, 0]:+.6f}")
    torch.testing.assert_close(h, result.output[:, t])

chapter("5. Sequences of different length, and new beginnings")

# Rows of a batch may end early. What stands behind the end, the padding, is never read: it may even be NaN.
# The final state is the one after the last real step, and the output is zero from there on.

padded = x.clone()
padded[1, 2:] = torch.nan
short = scan(kernel, weights, padded, lengths=[6, 2])

print("outputs of row 1: ", [round(v, 3) for v in short.output[1, :, 0].tolist()])
print("its final state:  ", round(short.state["h"][1, 0].item(), 3))

# A reset says that something new begins at a step: the state starts afresh there. Two texts in one row, say.

reset = torch.zeros(2, 6, dtype=torch.bool)
reset[0, 3] = True
both = scan(kernel, weights, x, reset=reset)
second = scan(kernel, weights, x[:1, 3:])
torch.testing.assert_close(both.output[:1, 3:], second.output)
print("after a reset:    ", [round(v, 3) for v in both.output[0, 3:, 0].tolist()])
print("the part alone:   ", [round(v, 3) for v in second.output[0, :, 0].tolist()])

chapter("6. Gradients, and why they are cut")

# The loss at the end depends on every input before it, through all the states between them. Autograd follows that
# path backwards. The further back, the less is left of the gradient: that is why long memories are hard to learn.

long = torch.randn(1, 60, 3, requires_grad=True)
scan(kernel, weights, long).output[:, -1].sum().backward()
for t in (59, 50, 40, 20, 0):
    print(f"gradient in the input of step {t:2}: {long.grad[0, t].norm():.1e}")

# A text has millions of steps, and the way back needs all that was computed on the way there. So one takes a chunk
# at a time. The state goes on from chunk to chunk; `detach` cuts the gradient between them. This is truncated
# back-propagation through time.

first = torch.randn(1, 5, 3, requires_grad=True)
state = scan(kernel, weights, first).state
loss = scan(kernel, weights, torch.randn(1, 5, 3), state.detach()).output.sum()
print("\nthe second chunk's loss reaches the first chunk:", loss.requires_grad)

chapter("7. A layer")

# `Recurrent` is a torch module: a cell with its weights, stacked as high as you like. It takes a cell of your own,
# or the name of a known one.

layer = Recurrent(leaky, input_size=3, hidden_size=4, num_layers=2)
y, state = layer(x)
y, state = layer(x, state)  # goes on where it was
print("output:", tuple(y.shape), "state:", state)

# How does it run? A cell of your own is compiled for the processor. An LSTM is also in torch itself, so that is what
# runs it. `explain` always says which, and why.

print(layer.explain())
print(Recurrent("lstm", 3, 4).explain())

chapter("8. Training in a plain loop")

# Something to learn: a text of small sums, in words. After "make" the network must know both numbers before it, so
# it has to remember them, and to add.

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
dice = random.Random(0)
pairs = [(a, b) for a in range(11) for b in range(11 - a)]
chosen = [dice.choice(pairs) for _ in range(3000)]
text = "".join(f"{WORDS[a]} and {WORDS[b]} make {WORDS[a + b]}\n" for a, b in chosen)

# Characters become numbers. Then the text is cut into 8 pieces that are read side by side, 32 characters a chunk, and
# each chunk goes on where the one before stopped. The target is always the character that follows.

vocabulary = Vocabulary.build(text)
size = len(vocabulary)
stream = ContiguousStream(vocabulary.encode(text), batch=8, time=32)

print(text[: text.index("\n", 60)])
print(f"... {len(text):,} characters, {size} different ones, {len(stream)} chunks")

# The model: characters in, and at each step a score for every character that may be next.

embedding = nn.Embedding(size, 16)
layer = Recurrent(leaky, 16, 64)
head = nn.Linear(64, size)
parameters = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=0.01)

# The loss is in nats a character: minus the logarithm of the probability that the model gave to the right one.

state, recent = None, []
for number, (symbols, following) in enumerate(stream, 1):
    y, state = layer(embedding(torch.from_numpy(symbols)), state)
    state = state.detach()
    scores = head(y)  # (B, T, V)
    loss = nn.functional.cross_entropy(scores.flatten(0, 1), torch.from_numpy(following).flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    recent.append(loss.item())
    if number % 60 == 0:
        print(f"chunk {number:3}: {sum(recent) / len(recent):.3f} nats a character")
        recent = []

chapter("9. Training by rekur")

# The same with what a serious run needs around it. The model is judged on a part of the text that it has not seen,
# the learning rate rises and falls, samples are drawn, and all is kept in a folder, so that a run that was stopped
# can go on. From the command line it is `rekur train charlm FILE`. The cell is an LSTM this time.

place = tempfile.TemporaryDirectory()
here = Path(place.name)
(here / "sums.txt").write_text(text, encoding="utf-8")
config = CharLMConfig(
    files=here / "sums.txt", cell="lstm", hidden=64, layers=1, embedding=16, dropout=0.0, batch=8, time=32,
    temperatures=(0.7,), sample_length=60,
)  # fmt: skip
training = FitConfig(epochs=8, lr=0.01, warmup=20)
run, result = train(config, training, runs=here, cache=here / "cache", display=lambda folder: Quiet())

for event in run.events():
    if event["kind"] == "eval":
        print(f"epoch {event['epoch']}: {event['loss']:.3f} nats, {event['bits']:.3f} bits a character")

# Nobody can foresee which two numbers come next. A perfect model would be unsure of that, and of nothing else:

floor = torch.tensor(len(pairs)).log2().item() * len(chosen) / len(text)
print(f"{result.reason} after {result.step:,} steps; a perfect model has about {floor:.3f} bits")

chapter("10. Let it write")

# The model reads what it wrote itself, and draws the next character from its probabilities. A low temperature makes
# it careful.

trained = load_model(run.path)
(written,) = trained.sample(length=2000, temperature=0.5, generator=torch.Generator().manual_seed(1))
lines = written.splitlines()[:-1]
true = [f"{WORDS[a]} and {WORDS[b]} make {WORDS[a + b]}" for a, b in pairs]
print("\n".join(lines[:6]))
print(f"\nof {len(lines)} sums that it wrote, {sum(line in true for line in lines)} are right")

# It can also be asked. It learnt in the midst of a text, so it is given a line to begin with.

for question in ("two and two make ", "three and six make ", "ten and zero make "):
    (answer,) = trained.sample(f"one and one make two\n{question}", 6, temperature=0)
    print(answer.splitlines()[1])

chapter("11. What is kept")

# A run is a folder of plain files. The weights are tensors, and the cell is its text: no code is stored, so none is
# run when a model is loaded, and the file that a cell was written in is not needed any more.

print(*sorted(path.name for path in run.path.iterdir()), sep=", ")
print(*sorted(path.name for path in run.checkpoint("best").iterdir()), sep=", ")
print("\nthe cell in it:", trained.model.plan.cell.name, trained.model.plan.cell.structure[:12])

# A state can be kept as well: a stream may be stopped today and go on tomorrow.

numbers = torch.from_numpy(vocabulary.encode("one and two make ").astype("int64"))[None]
_, state = trained.model(numbers)
state.save(here / "state.safetensors")
again = State.load(here / "state.safetensors")
torch.testing.assert_close(dict(again), dict(state))
print("a state, kept and read back:", again)

place.cleanup()
