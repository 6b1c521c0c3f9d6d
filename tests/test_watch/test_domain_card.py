# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The domain card: what it measures, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.watch import Card, Watch
from mmseg_cag.watch.card import (
    LEVELS,
    correlation_length,
    fingerprint,
    make_card,
)
from mmseg_cag.watch.frame import Frame, summarize
from mmseg_cag.watch.network import WatchedNetwork
from mmseg_cag.watch.tail import RAREST
from mmseg_cag.watch.watch import Judge
from tests.watched import WEIGHT, draw, write_network

CLASSES = ['a', 'b', 'c']


def random_frames(count: int, seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [
        Frame(
            rng.integers(0, 3, 500),
            rng.integers(0, 2, 500),
            rng.exponential(size=500),
            rng.exponential(size=500),
            rng.normal(size=4),
            (20, 25),
        )
        for _ in range(count)
    ]


def test_a_frame_is_summarized_on_a_grid():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 64, 128))
    distances = rng.uniform(size=(3, 16, 32))
    frame = summarize(logits, distances, np.zeros(4))
    assert len(frame.classes) == 16 * 32
    for i, (y, x) in enumerate(np.ndindex(16, 32)):
        own = sorted(distances[:, y, x])
        assert frame.distance[i] == own[0]
        assert frame.gap[i] == own[1] - own[0]
        assert frame.nearest[i] == distances[:, y, x].argmin()
        assert frame.classes[i] == logits[:, 4 * y + 2, 4 * x + 2].argmax()
    large = rng.uniform(size=(3, 256, 512))
    assert len(summarize(large, large, np.zeros(4)).classes) == 2048


def test_scores_are_what_they_are_called():
    frames = random_frames(60)
    card = make_card(frames, 'x', CLASSES, 5, is_stream=True)
    stills = make_card(frames, 'x', CLASSES, 5, is_stream=False)
    assert 'flicker' not in stills.tails
    frames = frames[:30]  # the others are for the tails
    one, before = random_frames(2, seed=1)
    scores = card.scores(one, before)
    prior = [
        np.mean([(f.classes == k).mean() for f in frames]) for k in (0, 1, 2)
    ]
    shares = [(one.classes == k).mean() for k in (0, 1, 2)]
    overlap = sum(math.sqrt(p * q) for p, q in zip(prior, shares, strict=True))
    assert scores['prior'] == pytest.approx(math.sqrt(1 - overlap))
    limits = [
        np.quantile(
            np.concatenate([f.distance[f.nearest == k] for f in frames]), 0.99
        )
        for k in (0, 1)
    ]
    far = [
        d > limits[k] for d, k in zip(one.distance, one.nearest, strict=True)
    ]
    assert scores['unknown'] == pytest.approx(np.mean(far))
    means = np.array([f.moments for f in frames])
    moved = (one.moments - means.mean(0)) / means.std(0)
    covariance = 0.9 * np.corrcoef(means.T) + 0.1 * np.eye(4)
    squares = moved @ np.linalg.inv(covariance) @ moved / 4
    assert scores['moments'] == pytest.approx(squares)
    assert scores['flicker'] == (one.classes != before.classes).mean()
    assert 'flicker' not in card.scores(one, None)
    # A class without anchor pixels has the quantiles of all.
    everything = np.concatenate([f.distance for f in frames])
    np.testing.assert_allclose(
        card.distances[2], np.quantile(everything, LEVELS)
    )


def test_frames_of_several_sizes_have_no_flicker():
    frames = random_frames(60)
    other = [frame._replace(size=(25, 20)) for frame in frames[::2]]
    mixed = [one for pair in zip(frames, other, strict=False) for one in pair]
    assert 'flicker' not in make_card(mixed, 'x', CLASSES, 5, True).tails
    card = make_card(frames, 'x', CLASSES, 5, is_stream=True)
    assert 'flicker' not in card.scores(other[1], frames[0])
    judge = Judge(card)
    judge.look(frames[0])
    parts = (part[:400] for part in frames[1][:4])
    small = Frame(*parts, frames[1].moments, (20, 20))
    assert 'flicker' not in judge.look(small).scores


def test_the_stranger_frame_is_worth_more_however_strange_both_are():
    frames = random_frames(60)
    judge = Judge(make_card(frames, 'x', CLASSES, 5, is_stream=False))
    worth = [
        judge.look(frames[0]._replace(moments=np.full(4, far))).worth
        for far in (1e3, 1e4, 1e5)
    ]
    assert -math.log(RAREST) < worth[0] < worth[1] < worth[2]


def test_what_is_not_finite_alarms_and_is_forgotten():
    frames = random_frames(100)
    card = make_card(frames, 'x', CLASSES, 2, is_stream=True)
    nan = np.full(500, math.nan)
    broken = frames[0]._replace(
        distance=nan, gap=nan, moments=np.full(4, math.nan)
    )
    judge = Judge(card)
    found = [judge.look(broken) for _ in range(9)]
    alarms = {name for look in found for name in look.alarms}
    assert {'unknown', 'margin', 'moments'} <= alarms
    assert all(math.isfinite(look.worth) for look in found)
    assert not any(judge.look(frame).alarms for frame in frames)
    assert not any(d.is_alarmed for d in judge.detectors.values())
    with pytest.raises(UserError, match='frame 101: the output of the netw'):
        make_card([*frames, broken], 'x', CLASSES, 2, is_stream=True)


def test_how_long_frames_are_alike_is_measured():
    shots = np.random.default_rng(0).normal(size=(400, 8)).repeat(20, axis=0)
    assert 15 <= correlation_length(shots) <= 20
    assert correlation_length(shots[::20]) == 1
    with pytest.raises(UserError, match='still alike after 12 frames, exp'):
        correlation_length(np.linspace(0, 1, 50)[:, None])


def test_a_card_is_written_and_read(tmp_path):
    card = make_card(random_frames(50), 'x', CLASSES, 5, is_stream=True)
    path = tmp_path / 'card.json'
    card.write(path)
    again = Card.read(path)
    assert again.classes == CLASSES and again.tails.keys() == card.tails.keys()
    frame, before = random_frames(2, seed=3)
    actual = again.scores(frame, before)
    assert actual == pytest.approx(card.scores(frame, before), rel=1e-4)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'card not found'),
        ('{', 'not readable as JSON'),
        ('[]', 'expected a domain card'),
        ('{"format": 0}', 'expected a domain card of format 1'),
        ('{"format": 1, "tails": {}}', 'expected a domain card'),
    ],
)
def test_what_is_no_card_is_refused(tmp_path, content, message):
    path = tmp_path / 'card.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        Card.read(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_the_card_of_another_network_is_refused(network, tmp_path):
    watched = WatchedNetwork(network)
    frames = [watched.look(frame) for frame in draw(50, seed=0)]
    card = make_card(frames, watched.fingerprint, watched.classes, 1, True)
    path = tmp_path / 'card.json'
    card.write(path)
    Watch(network, path)
    other = write_network(tmp_path / 'other.onnx', 2 * WEIGHT)
    with pytest.raises(UserError, match='the card of another network') as e:
        Watch(other, path)
    assert str(path) in str(e.value) and '\n' not in str(e.value)
    assert fingerprint(other)[:12] in str(e.value)


def test_too_few_frames_and_other_networks_are_refused(network, tmp_path):
    with pytest.raises(UserError, match='needs 50 frames or more, got 3'):
        make_card(random_frames(3), 'x', CLASSES, 5, is_stream=True)
    with pytest.raises(UserError, match=r'a frame of \(8, 8\), expected'):
        WatchedNetwork(network).look(np.zeros((8, 8, 3), np.uint8))
    text = tmp_path / 'text.onnx'
    text.write_text(json.dumps({}))
    with pytest.raises(UserError, match='not readable as ONNX'):
        WatchedNetwork(text)
    with pytest.raises(UserError, match='network not found'):
        WatchedNetwork(tmp_path / 'gone.onnx')
