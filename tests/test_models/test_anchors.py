# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import threading

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.models.anchors import arithmetic as bands
from mmseg_cag.models.anchors import class_means as centroids
from mmseg_cag.models.anchors.anchor_bank import AnchorBank, is_correct
from mmseg_cag.models.anchors.pseudo_label_head import nearest_anchor

N, K, C, H, W = 3, 5, 6, 4, 7
MIN_PIXELS = 5
EXACT = dict(rtol=1e-9, atol=1e-9)


def build(level: str = 'pixel', **kwargs) -> AnchorBank:
    cfg = dict(type='AnchorBank', num_classes=K, channels=C, level=level)
    return MODELS.build({**cfg, **kwargs}).double()


def batches(count: int = 3) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Random (feat, logits, labels); class 3 never occurs, 255 does."""
    made = []
    for _ in range(count):
        feat = torch.randn(N, C, H, W).double() * 3
        labels = torch.tensor([0, 1, 2, 4, 255])[
            torch.randint(0, 5, (N, H, W))
        ]
        # The prediction is the label at about two pixels of three.
        guess = torch.where(
            torch.rand(N, H, W) < 0.6,
            labels.clamp(max=K - 1),
            torch.randint(0, K, (N, H, W)),
        )
        logits = torch.rand(N, K, H, W).double()
        logits.scatter_(1, guess.unsqueeze(1), 2.0)
        made.append((feat, logits, labels))
    return made


def accumulated(bank: AnchorBank, data: list) -> AnchorBank:
    means = bank.new_centroids()
    for feat, logits, labels in data:
        bank.accumulate(means, feat, logits, labels)
    bank.store(means)
    return bank


def image_means(data: list) -> list[tuple[int, Tensor]]:
    """List (class, mean over correct pixels) image by image."""
    found = []
    for feat, logits, labels in data:
        for n in range(N):
            for k in range(K):
                pixels = [
                    feat[n, :, i, j]
                    for i in range(H)
                    for j in range(W)
                    if labels[n, i, j] == k
                    and logits[n, :, i, j].argmax() == k
                ]
                if len(pixels) >= MIN_PIXELS:
                    found.append((k, sum(pixels) / len(pixels)))
    return found


def test_pixel_level_is_the_mean_over_all_pixels_of_a_class():
    data = batches()
    sums = torch.zeros(K, C).double()
    counts = torch.zeros(K).double()
    for feat, _, labels in data:
        for n in range(N):
            for i in range(H):
                for j in range(W):
                    k = labels[n, i, j].item()
                    if k < K:
                        sums[k] += feat[n, :, i, j]
                        counts[k] += 1
    bank = accumulated(build(), data)
    assert torch.equal(bank.counts, counts)
    assert counts.tolist()[3] == 0
    met = counts > 0
    means = sums[met] / counts[met].unsqueeze(1)
    torch.testing.assert_close(bank.anchors[met], means, **EXACT)


@pytest.mark.parametrize('cap', [1, 3, 3000])
def test_image_level_is_the_running_mean_of_image_means(cap):
    data = batches()
    anchors = torch.zeros(K, C).double()
    counts = [0] * K
    for k, mean in image_means(data):
        anchors[k] = (anchors[k] * counts[k] + mean) / (counts[k] + 1)
        counts[k] = min(counts[k] + 1, cap)
    bank = accumulated(build('image', min_pixels=MIN_PIXELS, cap=cap), data)
    assert bank.counts.tolist() == counts
    assert max(counts) == min(cap, max(counts)) > 0
    met = bank.counts > 0
    torch.testing.assert_close(bank.anchors[met], anchors[met], **EXACT)


def test_cap_and_min_pixels_matter_here():
    data = batches()
    per_class = [0] * K
    for k, _ in image_means(data):
        per_class[k] += 1
    assert max(per_class) > 3  # else a cap of 3 would go untested
    assert min(per_class[k] for k in (0, 1, 2, 4)) < N * len(data)


def test_batches_may_be_cut_anywhere():
    data = batches()
    cut = [
        tuple(part[n : n + 1] for part in batch)
        for batch in data
        for n in range(N)
    ]
    for level in ('pixel', 'image'):
        settings = dict(min_pixels=MIN_PIXELS) if level == 'image' else {}
        whole = accumulated(build(level, **settings), data)
        parts = accumulated(build(level, **settings), cut)
        assert torch.equal(whole.counts, parts.counts)
        torch.testing.assert_close(whole.anchors, parts.anchors, **EXACT)


def test_anchors_of_the_past_are_replaced():
    bank = accumulated(build(), batches())
    data = batches(1)
    again = accumulated(bank, data)
    fresh = accumulated(build(), data)
    assert torch.equal(again.anchors, fresh.anchors)
    assert torch.equal(again.counts, fresh.counts)


def loop_distances(bank: AnchorBank, feat: Tensor) -> Tensor:
    pixels = feat.permute(0, 2, 3, 1).reshape(-1, C)
    # The direct form: cdist's own shortcut would round as ours does.
    mode = 'donot_use_mm_for_euclid_dist'
    distances = torch.cdist(pixels, bank.anchors, compute_mode=mode)
    distances = distances.view(N, H, W, K).permute(0, 3, 1, 2).clone()
    distances[:, bank.counts == 0] = float('inf')
    return distances


def test_distances_are_euclidean_and_infinite_to_an_absent_class():
    bank = accumulated(build(), batches())
    feat = batches(1)[0][0]
    distances = bank.distances(feat)
    torch.testing.assert_close(distances, loop_distances(bank, feat), **EXACT)
    assert distances[:, 3].isinf().all()
    assert distances[:, :3].isfinite().all()


def test_the_distance_from_an_anchor_to_itself_is_no_nan():
    bank = accumulated(build(), batches()).float()
    feat = bank.anchors[2].view(1, C, 1, 1)
    distance = bank.distances(feat)[0, 2, 0, 0]
    assert 0 <= distance < 1e-2


def test_distances_stay_exact_under_autocast():
    bank = accumulated(build(), batches()).float()
    feat = batches(1)[0][0].float()
    with torch.autocast('cpu', torch.bfloat16):
        assert (feat.flatten(2) @ feat.flatten(2).mT).dtype == torch.bfloat16
        distances = bank.distances(feat)
    assert distances.dtype == torch.float32
    assert torch.equal(distances, bank.distances(feat))


def test_features_of_low_precision_get_distances_of_high():
    bank = accumulated(build(), batches()).float()
    feat = batches(1)[0][0].bfloat16()
    expected = loop_distances(bank, feat.float())
    torch.testing.assert_close(bank.distances(feat), expected)


@pytest.mark.parametrize('rows', [1, 3, H])
@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last]
)
def test_the_nearest_is_that_of_the_distances(monkeypatch, layout, rows):
    bank = accumulated(build(), batches())
    feat = batches(1)[0][0].contiguous(memory_format=layout)
    label, gap = nearest_anchor(loop_distances(bank, feat))
    monkeypatch.setattr(bands, 'CPU_CHUNK', rows * N * C * W)
    found = bank.nearest(feat)
    assert torch.equal(found[0], label)
    torch.testing.assert_close(found[1], gap, **EXACT)
    torch.testing.assert_close(
        bank.distances(feat), loop_distances(bank, feat), **EXACT
    )


def test_what_is_predicted():
    _, logits, labels = batches(1)[0]
    expected = logits.argmax(1) == labels
    assert torch.equal(is_correct(labels, logits), expected)
    assert 0 < expected.sum() < expected.numel()
    # Where classes score the same, each of them is.
    even = torch.zeros(1, K, 1, K + 2)
    numbers = torch.arange(-1, K + 1).view(1, 1, -1)
    assert is_correct(numbers, even).tolist() == [
        [[False, *[True] * K, False]]
    ]
    # No class is, where scores are no numbers.
    assert not is_correct(numbers, even * float('nan')).any()


class Ranks:
    """An `all_reduce` of threads, each a rank."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=10)
        self.parts: dict[int, Tensor] = {}

    def all_reduce(self, data: Tensor) -> None:
        self.parts[threading.get_ident()] = data.clone()
        self.barrier.wait()
        total = sum(self.parts[key] for key in sorted(self.parts))
        self.barrier.wait()
        data.copy_(total)


def reduced(monkeypatch, shares: list[list], *args, **kwargs) -> list:
    """Let each rank accumulate its share, then reduce."""
    ranks = Ranks(len(shares))
    monkeypatch.setattr(centroids, 'all_reduce', ranks.all_reduce)
    banks = [build(*args, **kwargs) for _ in shares]

    def work(bank, share):
        means = bank.new_centroids()
        for batch in share:
            bank.accumulate(means, *batch)
        means.reduce()
        bank.store(means)

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in zip(banks, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return banks


@pytest.mark.parametrize('level', ['pixel', 'image'])
def test_ranks_together_hold_what_one_would(monkeypatch, level):
    data = batches(5)
    alone = accumulated(build(level, min_pixels=MIN_PIXELS), data)
    shares = [data[:2], data[2:], []]  # a rank may have no image at all
    banks = reduced(monkeypatch, shares, level, min_pixels=MIN_PIXELS)
    for bank in banks:
        assert torch.equal(bank.anchors, banks[0].anchors)
        assert torch.equal(bank.counts, alone.counts)
        torch.testing.assert_close(bank.anchors, alone.anchors, **EXACT)


def test_a_class_may_be_on_one_rank_alone(monkeypatch):
    feat, logits, labels = batches(1)[0]
    only_zero = torch.zeros_like(labels)
    only_two = torch.full_like(labels, 2)
    shares = [[(feat, logits, only_zero)], [(feat, logits, only_two)]]
    for bank in reduced(monkeypatch, shares):
        mean = feat.mean((0, 2, 3))
        torch.testing.assert_close(bank.anchors[0], mean, **EXACT)
        torch.testing.assert_close(bank.anchors[2], mean, **EXACT)
        assert bank.counts.tolist() == [N * H * W, 0, N * H * W, 0, 0]


def test_the_cap_holds_after_a_reduction(monkeypatch):
    data = batches(4)
    settings = dict(min_pixels=1, cap=2)
    banks = reduced(monkeypatch, [data[:2], data[2:]], 'image', **settings)
    assert torch.equal(banks[0].anchors, banks[1].anchors)
    assert banks[0].counts.max() == 2


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_classes=1), 'at least 2 classes, got num_classes=1'),
        (dict(level='patch'), "level='patch', expected 'pixel' or 'image'"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(**settings)
    assert '\n' not in str(caught.value)
