import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from rekur.data import collate, masked_loss
from rekur.errors import DataError, ShapeError
from rekur.nn import Recurrent


def test_rows_are_the_sequences_and_the_rest_is_padding():
    rows = [np.random.default_rng(i).normal(size=(t, 3)).astype(np.float32) for i, t in enumerate((4, 0, 7, 1))]
    values, lengths = collate(rows, padding=float("nan"))
    assert values.shape == (4, 7, 3)
    assert lengths.tolist() == [4, 0, 7, 1]
    assert lengths.dtype == torch.int64
    for row, value, length in zip(rows, values, lengths, strict=True):
        assert (value[:length].numpy() == row).all()
        assert value[length:].isnan().all()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "int64"])
def test_whole_numbers_become_symbols(kind):
    given = np.arange(5).astype(kind)
    given.flags.writeable = False  # as a memory map's
    values, lengths = collate([given, given[:2], torch.tensor([7], dtype=torch.uint8), []])
    assert values.tolist() == [[0, 1, 2, 3, 4], [0, 1, 0, 0, 0], [7, 0, 0, 0, 0], [0] * 5]
    assert values.dtype == torch.int64
    assert lengths.tolist() == [5, 2, 1, 0]


def test_a_batch_of_nothing_but_empty_sequences():
    values, lengths = collate([torch.zeros(0, 2), torch.zeros(0, 2)])
    assert values.shape == (2, 0, 2)
    assert lengths.tolist() == [0, 0]


def test_sequences_that_do_not_go_together():
    with pytest.raises(DataError, match="at least one sequence"):
        collate([])
    with pytest.raises(ShapeError, match=r"sequence 1 of the batch has steps \(3,\) of float32, others have \(2,\)"):
        collate([torch.zeros(4, 2), torch.zeros(1, 3)])
    with pytest.raises(ShapeError, match=r"sequence 1 .* \(\) of float32, others have \(\) of int64"):
        collate([[1, 2], [0.5]])
    with pytest.raises(ShapeError, match="not the single value 3"):
        collate([3, 4])


def test_a_layer_reads_a_batch_as_if_one_by_one():
    torch.manual_seed(0)
    rows = [torch.randn(t, 3) for t in (5, 2, 0, 9)]
    values, lengths = collate(rows, padding=float("nan"))
    layer = Recurrent("gru", 3, 4)
    y, state = layer(values, lengths=lengths)
    for i, row in enumerate(rows):
        alone, after = layer(row[None])
        torch.testing.assert_close(y[i, : len(row)], alone[0])
        torch.testing.assert_close(state["0.h"][i], after["0.h"][0])


def test_the_loss_is_the_mean_over_real_items_and_reads_no_padding():
    torch.manual_seed(0)
    lengths = torch.tensor([3, 0, 5, 1])
    live = torch.arange(5) < lengths[:, None]
    logits = torch.randn(4, 5, 7, dtype=torch.float64)
    targets = torch.randint(7, (4, 5))
    wanted = -sum(logits.log_softmax(-1)[b, t, targets[b, t]] for b in range(4) for t in range(lengths[b])) / 9
    logits[~live] = torch.nan
    targets[~live] = 99
    logits.requires_grad_()
    loss = masked_loss(cross_entropy, logits, targets, lengths)
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[~live] == 0).all()
    assert (gradient[live] != 0).all()


def test_the_loss_of_series():
    y = torch.tensor([[[1.0], [2.0]], [[4.0], [9.0]]])
    assert masked_loss(mse_loss, y, torch.zeros(2, 2, 1), [2, 1]).item() == (1 + 4 + 16) / 3


def test_losses_of_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"predictions \(2, 3, 5\) and targets \(3, 2\) must begin with the same"):
        masked_loss(cross_entropy, torch.zeros(2, 3, 5), torch.zeros(3, 2, dtype=torch.long), [1, 1])
    with pytest.raises(ShapeError, match="all lengths are 0"):
        masked_loss(cross_entropy, torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long), [0, 0])
    with pytest.raises(ShapeError, match=r"lengths must lie in 0\.\.3, got 1\.\.4"):
        masked_loss(cross_entropy, torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long), [1, 4])
