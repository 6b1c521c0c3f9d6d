# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""CLAN's losses against those of the release."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg_cag.models.losses.adversarial_loss import SOURCE, AdversarialLoss
from mmseg_cag.models.losses.softmax_focal_loss import SoftmaxFocalLoss
from mmseg_cag.models.segmentors.clan import disagreement
from tests.golden import golden_file


@pytest.fixture()
def case() -> dict[str, torch.Tensor]:
    arrays = np.load(golden_file('clan_losses_11.npz'))
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare to 1e-5 of the largest value."""
    limit = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(
        found.double(), expected.double(), rtol=0, atol=limit
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_losses_and_gradients(case, dtype):
    inputs = [
        case[key].to(dtype).requires_grad_() for key in ('z1', 'z2', 'd_logit')
    ]
    first, second, judged = inputs
    focal = SoftmaxFocalLoss()(first, case['label'])
    weights = disagreement(first, second)
    adversarial = AdversarialLoss(pixel_weights=(0.4, 40.0))(
        judged, SOURCE, weights
    )
    (focal + adversarial).backward()
    assert_close(focal, case['focal'])
    assert_close(weights, case['weight_map'])
    assert_close(adversarial, case['adv_weighted'])
    for tensor, key in zip(
        inputs, ('grad_z1', 'grad_z2', 'grad_d_logit'), strict=True
    ):
        assert tensor.grad.any()
        assert_close(tensor.grad, case[key])
