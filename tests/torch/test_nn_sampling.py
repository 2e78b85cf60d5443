"""`draw` against a direct formula and at its edges; `sample` step by step."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.errors import OptionError, RekurError, ShapeError, TrainingError
from rekur.nn import Plan, SequenceModel, draw, sample

NAN, INF = torch.nan, torch.inf
BELOW_ONE = 1 - 2**-24  # the largest float32 that torch.rand gives


def by_formula(logits: list[float], uniform: float, temperature: float = 1.0, top_k: int | None = None) -> int:
    """In plain Python: walk the symbols until their probabilities pass the uniform."""
    kept = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:top_k]
    weights = [torch.tensor((v - max(logits)) / temperature).double().exp().item() for v in logits]
    weights = [w if i in kept else 0.0 for i, w in enumerate(weights)]
    passed = 0.0
    for i, w in enumerate(weights):
        passed += w / sum(weights)
        if passed > uniform:
            return i
    return max(kept)


@pytest.mark.parametrize("top_k", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_inverse_transform(temperature: float, top_k: int | None):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 7, generator=generator, dtype=torch.float64) * 2
    uniforms = torch.rand(200, generator=generator, dtype=torch.float64)
    got = draw(logits, uniforms, temperature=temperature, top_k=top_k)
    want = [by_formula(a, u, temperature, top_k) for a, u in zip(logits.tolist(), uniforms.tolist(), strict=True)]
    assert got.tolist() == want
    assert got.dtype == torch.int64


def test_shares_are_probabilities():
    """The share of a fine grid of uniforms that gives a symbol is its probability."""
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.0]])
    grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    counts = draw(logits.expand(20_000, -1), grid, temperature=0.7).bincount(minlength=4)
    assert torch.allclose(counts / 20_000, (logits[0] / 0.7).softmax(-1), atol=1e-4)


def one(logits: list[float], uniform: float, **options: Any) -> int:
    return int(draw(torch.tensor([logits]), torch.tensor([uniform]), **options))


@pytest.mark.parametrize(
    ("logits", "uniform", "options", "want"),
    [
        ([0.0, 0.0, 0.0, 0.0], 0.0, {}, 0),
        ([0.0, 0.0, 0.0, 0.0], BELOW_ONE, {}, 3),
        ([0.0, 0.0], 0.5, {}, 1),  # it must exceed the uniform
        ([-INF, 0.0, 0.0], 0.0, {}, 1),  # what cannot be is not drawn, not even at the edges
        ([0.0, 0.0, -INF], BELOW_ONE, {}, 1),
        ([0.0, -INF, -INF, -INF], BELOW_ONE, {}, 0),
        ([-1e4, 0.0, -1e4], BELOW_ONE, {}, 1),
        ([1e38, 0.0], 0.5, {}, 0),
        ([3e38, 3e38], 0.7, {}, 1),
        ([1.0, 3.0, 2.0], 0.9, {"temperature": 0}, 1),
        ([1.0, 3.0, 3.0], 0.9, {"temperature": 0}, 1),
        ([1.0, 3.0, -INF], 0.9, {"temperature": 0.0, "top_k": 2}, 1),
        ([1.0, 3.0, 2.0], 0.9, {"temperature": 1e-320}, 1),  # smaller than any normal number
        ([1.0, 3.0, 2.0], 0.1, {"temperature": 1e300}, 0),  # all alike
        ([1.0, 3.0, 2.0], 0.9, {"top_k": 1}, 1),
        ([0.0, 0.0, 0.0], 0.9, {"top_k": 1}, 0),  # of equal ones the first
        ([0.0, 1.0, 1.0, 1.0], 0.9, {"top_k": 2}, 2),
        ([0.0, 1.0, 1.0, 1.0], 0.1, {"top_k": 2}, 1),
        ([0.0, -INF, -INF], BELOW_ONE, {"top_k": 2}, 0),
    ],
)
def test_edges(logits: list[float], uniform: float, options: dict[str, Any], want: int):
    assert one(logits, uniform, **options) == want


@pytest.mark.parametrize("bad", [[0.0, NAN], [0.0, INF], [-INF, -INF]])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.0}, {"top_k": 1}])
def test_what_is_no_distribution(bad: list[float], options: dict[str, Any]):
    with pytest.raises(TrainingError, match="the logits hold NaN or infinity, or rule every symbol out"):
        draw(torch.tensor([[0.0, 0.0], bad]), torch.tensor([0.5, 0.5]), **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": -0.1}, "temperature must not be below zero"),
        ({"temperature": NAN}, "temperature must not be below zero, and must be finite, got nan"),
        ({"temperature": INF}, "must be finite, got inf"),
        ({"top_k": 0}, "top-k must be above zero, got 0"),
        ({"top_k": -3}, "top-k must be above zero, got -3"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=says):
        one([0.0, 1.0], 0.5, **options)
    with pytest.raises(OptionError, match=says):
        sample(model(), torch.zeros(1, 1, dtype=torch.int64), 3, **options)  # before anything is drawn


def test_shapes_that_do_not_fit():
    with pytest.raises(TrainingError, match="no symbol can be drawn"):
        draw(torch.zeros(2, 0), torch.zeros(2))
    for logits, uniforms in ((torch.zeros(3), torch.zeros(3)), (torch.zeros(2, 3), torch.zeros(3))):
        with pytest.raises(ShapeError, match=r"logits must be \(B, V\) and uniforms \(B,\)"):
            draw(logits, uniforms)


def test_memory_that_is_not_contiguous():
    logits, uniforms = torch.randn(5, 4), torch.rand(8)
    assert torch.equal(draw(logits.T, uniforms[::2]), draw(logits.T.contiguous(), uniforms[::2].contiguous()))


def test_half_precision_logits():
    logits = torch.randn(50, 9)
    u = torch.rand(50)
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(draw(logits.to(dtype), u), draw(logits.to(dtype).double(), u))


# ---- from a model ------------------------------------------------------------------------------------------------


def model(cell: str = "gru", dropout: float = 0.0, **options: Any) -> SequenceModel:
    plan = Plan(find(cell), 4, 6, 2, symbols=5, outputs=5, dropout=dropout, feedback=True)
    net = SequenceModel(plan, generator=torch.Generator().manual_seed(3), **options)
    with torch.no_grad():
        net.head.weight.mul_(20)  # type: ignore[union-attr]  # so that what was read matters
    return net


PROMPT = torch.tensor([[0, 1, 2], [3, 3, 4]])


def drawn(of: SequenceModel, prompt: Tensor = PROMPT, length: int = 12, seed: int = 0, **options: Any) -> Tensor:
    symbols = list(sample(of, prompt, length, generator=torch.Generator().manual_seed(seed), **options))
    assert len(symbols) == length
    return torch.stack(symbols, 1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5, "top_k": 3}, {"temperature": 0.0}])
def test_each_symbol_is_drawn_after_the_whole_text_before_it(cell: str, options: dict[str, Any]):
    """The carried state against reading everything again from the start."""
    net = model(cell)
    generator = torch.Generator().manual_seed(0)
    text = PROMPT
    for _ in range(12):
        logits = net(text)[0][:, -1].detach()
        symbol = draw(logits, torch.rand(2, generator=generator), **options)
        text = torch.cat([text, symbol[:, None]], 1)
    assert torch.equal(drawn(net, **options), text[:, 3:])


def test_reproducible_with_a_generator():
    net = model()
    assert torch.equal(drawn(net, seed=1), drawn(net, seed=1))
    assert not torch.equal(drawn(net, seed=1), drawn(net, seed=2))
    before = torch.random.get_rng_state()
    drawn(net)
    assert torch.equal(torch.random.get_rng_state(), before)  # the global generator is left alone
    torch.manual_seed(7)
    first = torch.stack(list(sample(net, PROMPT, 5)), 1)
    torch.manual_seed(7)
    assert torch.equal(torch.stack(list(sample(net, PROMPT, 5)), 1), first)  # and used where none is given


def test_rows_do_not_know_each_other():
    net = model()
    other = PROMPT.clone()
    other[1] = torch.tensor([0, 0, 0])
    one, two = drawn(net), drawn(net, other)
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1])


def test_the_model_is_left_as_it_was():
    net = model(dropout=0.5).train()
    net.embedding.eval()  # type: ignore[union-attr]  # somebody has frozen this part
    modes = [m.training for m in net.modules()]
    text = sample(net, PROMPT, 5)
    for _ in islice(text, 3):
        assert [m.training for m in net.modules()] == modes  # between the symbols too
        assert torch.is_grad_enabled()
    text.close()  # type: ignore[attr-defined]
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(drawn(net), drawn(net.eval()))  # no dropout while sampling


def test_no_more_is_computed_than_drawn():
    net = model()
    seen: list[tuple[int, ...]] = []
    net.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape)))
    step = net.step

    def counted(x: Tensor, state: Any = None) -> Any:
        seen.append(tuple(x.shape))
        return step(x, state)

    net.step = counted  # type: ignore[method-assign]
    drawn(net, length=3)
    assert seen == [(2, 3), (2,), (2,)]
    assert drawn_nothing(net) == []


def drawn_nothing(of: SequenceModel) -> list[Tensor]:
    return list(sample(of, PROMPT, 0))


def test_no_rows():
    assert drawn(model(), PROMPT[:0]).shape == (0, 12)


@pytest.mark.parametrize("prompt", [PROMPT[:, :0], PROMPT[0], PROMPT[..., None]])
def test_a_prompt_that_is_none(prompt: Tensor):
    with pytest.raises(OptionError, match=r"the prompt must be \(B, T\) symbols with at least one step, got \("):
        sample(model(), prompt, 3)


def test_a_model_without_feedback():
    plan = Plan(find("gru"), 4, 6, symbols=5, outputs=5)
    with pytest.raises(OptionError, match="does not read its own output"):
        sample(SequenceModel(plan), PROMPT, 3)


def test_a_diverged_model_says_so():
    net = model()
    with torch.no_grad():
        net.head.weight.fill_(NAN)  # type: ignore[union-attr]
    with pytest.raises(RekurError, match="no symbol can be drawn"):
        next(sample(net, PROMPT, 3))
