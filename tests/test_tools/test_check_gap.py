# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What tools/check_gap.py measures, and the command on a tiny town."""

from __future__ import annotations

import json
import runpy
from functools import partial
from pathlib import Path

import benchmark_gap
import numpy as np
import pytest
import torch
from benchmark_gap import is_right
from benchmark_reweighting import (
    as_if_source,
    as_if_target,
    measure,
    summary,
)
from decisions.held_out import held_out
from gap.checks import (
    ABSENCE,
    BRIGHTNESS,
    COLOUR,
    PRIOR,
    SCALE,
    Domain,
    Finding,
    check,
    estimate_priors,
    proven_estimate,
    proven_prior,
)
from gap.observe import Observed, component_sizes, observe, spectrum
from gap.prior import (
    INDEPENDENT,
    SPREAD,
    black_box_prior,
    calibration_error,
    em_prior,
    reweight,
    shrunk_prior,
    softmax,
    temperature_of,
)
from gap.remedies import Tried, _gain, try_remedies, with_own_statistics
from gaps.plant import plant
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from scipy.optimize import minimize
from torch import nn

from mmseg_cag.analysis.runs.labeling_network import load_labeling_network
from mmseg_cag.analysis.runs.network import predict_map
from mmseg_cag.analysis.runs.samples import Sample, preprocess
from mmseg_cag.datasets.roles import (
    Roles,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.engine.runtime.norm_statistics import estimate_statistics
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import read_image
from tests import finished, tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/check_gap.py'
CLASSES = ['road', 'car', 'sky', 'bus']
SOURCE = np.array([0.5, 0.2, 0.2, 0.1])


def draw_pixels(
    rng: np.random.Generator, prior: np.ndarray, pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pixels of overlapping classes: Bayes' scores and the truth."""
    truth = rng.choice(len(prior), pixels, p=prior)
    seen = 1.8 * np.eye(len(prior))[truth] + rng.normal(
        size=(pixels, len(prior))
    )
    # Of unit Gaussians around 1.8 e_k the scores are 1.8 x_k + log prior.
    return 1.8 * seen + np.log(SOURCE), truth


def mean_iou(logits: np.ndarray, truth: np.ndarray) -> float:
    labels = logits.argmax(1)
    scores = [
        np.sum((labels == k) & (truth == k))
        / np.sum((labels == k) | (truth == k))
        for k in range(len(SOURCE))
    ]
    return 100 * float(np.mean(scores))


@pytest.mark.parametrize('k', range(4))
@pytest.mark.parametrize('factor', [0.2, 5])
def test_a_planted_shift_of_the_prior_is_estimated(k, factor):
    rng = np.random.default_rng(k)
    prior = SOURCE.copy()
    prior[k] = min(prior[k] * factor, 0.85)
    others = np.arange(4) != k
    prior[others] *= (1 - prior[k]) / prior[others].sum()
    own, own_truth = draw_pixels(rng, SOURCE, 40_000)
    logits, _ = draw_pixels(rng, prior, 40_000)
    np.testing.assert_allclose(
        em_prior(softmax(logits), SOURCE), prior, atol=0.02
    )
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (own_truth, own.argmax(1)), 1)
    predicted = np.bincount(logits.argmax(1), minlength=4) / len(logits)
    found = black_box_prior(confusion, predicted)
    np.testing.assert_allclose(found, prior, atol=0.02)


def test_re_weighting_brings_back_what_a_shift_costs():
    rng = np.random.default_rng(0)
    prior = np.array([0.08, 0.04, 0.38, 0.5])  # the last five times as often
    logits, truth = draw_pixels(rng, prior, 60_000)
    cost = mean_iou(reweight(logits, SOURCE, prior), truth)
    cost -= mean_iou(logits, truth)
    assert cost > 2
    estimated = em_prior(softmax(logits), SOURCE)
    gained = mean_iou(reweight(logits, SOURCE, estimated), truth)
    gained -= mean_iou(logits, truth)
    assert gained > cost / 2


def test_a_shrunk_prior_is_left_where_little_is_known():
    rng = np.random.default_rng(0)
    own, _ = draw_pixels(rng, SOURCE, 40_000)
    expected = softmax(own).mean(0)
    prior = np.array([0.08, 0.04, 0.38, 0.5])
    logits, _ = draw_pixels(rng, prior, 20_000)
    found = shrunk_prior(softmax(logits), expected, SOURCE, 400)
    np.testing.assert_allclose(found, prior, atol=0.03)
    few = shrunk_prior(softmax(logits), expected, SOURCE, 1)
    moved = [np.abs(np.log(one / SOURCE)).sum() for one in (few, found)]
    assert moved[0] < moved[1] and (few[[0, 1]] > prior[[0, 1]]).all()
    # A class that a network hardly knows: as on the source is no shift.
    blind = own.copy()
    blind[:, 3] -= 5
    wrong = softmax(blind)
    still = shrunk_prior(wrong[::2], wrong[1::2].mean(0), SOURCE, 64)
    np.testing.assert_allclose(still, SOURCE, rtol=0.1)
    assert em_prior(wrong, SOURCE)[3] < 0.02


def test_the_likelihood_of_a_shrunk_prior_has_its_slope():
    rng = np.random.default_rng(1)
    seen = rng.dirichlet(np.ones(3), 50)
    expected, source = rng.dirichlet(np.ones(3)), np.full(3, 1 / 3)
    found = shrunk_prior(seen, expected, source, 2)
    weight = 1 / (2 * INDEPENDENT * SPREAD**2)

    def loss(logs: np.ndarray) -> float:
        ratio = np.exp(logs)
        likely = np.mean([np.log(sum(row * ratio)) for row in seen])
        return (
            np.log(sum(expected * ratio)) - likely + weight / 2 * sum(logs**2)
        )

    # By a search that knows no slope.
    best = minimize(loss, np.zeros(3), method='Nelder-Mead', tol=1e-9).x
    slow = source * np.exp(best)
    np.testing.assert_allclose(found, slow / slow.sum(), atol=1e-4)


def test_a_temperature_and_a_calibration_error_are_found():
    rng = np.random.default_rng(0)
    logits, truth = draw_pixels(rng, SOURCE, 20_000)
    assert temperature_of(logits, truth) == pytest.approx(1, abs=0.07)
    assert temperature_of(3 * logits, truth) == pytest.approx(3, abs=0.2)
    errors = [
        calibration_error(softmax(x).max(1), x.argmax(1) == truth)
        for x in (logits, 3 * logits)
    ]
    assert errors[0] < 0.02 < 0.1 < errors[1]


def test_components_and_octaves_are_measured():
    labels = np.zeros((20, 20), int)
    labels[4:8, 4:8] = 1
    labels[:3, :3] = 1  # at the border, so cut
    sums, weights = component_sizes(labels, 2)
    assert sums[1] / weights[1] == pytest.approx(np.log(4))
    rng = np.random.default_rng(0)
    sharp = rng.uniform(0, 255, (64, 64, 3))
    blurred = np.repeat(np.repeat(sharp[::2, ::2], 2, 0), 2, 1)
    assert spectrum(blurred)[0] < spectrum(sharp)[0] - 0.3
    np.testing.assert_allclose(
        spectrum(sharp * 0.5), spectrum(sharp), atol=0.1
    )


def draw_domain(
    seed: int,
    images: int,
    prior: np.ndarray = SOURCE,
    light: tuple[float, float, float] = (0, 0, 0),
    scale: float = 0,
) -> list[Observed]:
    """Draw what would be observed of the images of a domain."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        own = rng.dirichlet(200 * prior + 1e-9)
        logits, truth = draw_pixels(rng, own / own.sum(), 400)
        labels = logits.argmax(1)
        confusion = np.zeros((4, 4), int)
        np.add.at(confusion, (truth, labels), 1)
        pixels = confusion.sum(0)
        tint = np.arange(4)[:, None] + np.array(light) + rng.normal(0, 0.02, 3)
        weights = np.full(4, 10.0)
        sizes = weights * (2 + scale + rng.normal(0, 0.05, 4))
        found.append(
            Observed(
                logits,
                truth,
                pixels,
                confusion,
                pixels[:, None] * tint,
                sizes,
                weights,
                rng.normal(0, 0.1, 6),
                np.ones(3),
                np.ones(20),
            )
        )
    return found


@pytest.fixture(scope='module')
def source() -> list[Observed]:
    return draw_domain(0, 100)


def first(source: list[Observed], target: list[Observed]) -> Finding:
    return check(source, target, CLASSES, estimate_priors(source, target))[0]


def test_a_planted_difference_is_named_first(source):
    bus = np.array([0.28, 0.11, 0.11, 0.5])
    no_car = np.array([0.7, 0, 0.2, 0.1])
    dark = (-0.7, -0.7, -0.7)
    for expected, planted in (
        (PRIOR, dict(prior=bus)),
        (ABSENCE, dict(prior=no_car)),
        (BRIGHTNESS, dict(light=dark)),
        (COLOUR, dict(light=(0.2, 0, -0.2))),
        (SCALE, dict(scale=-0.7)),
        # What comes before the network goes before what comes after it.
        (SCALE, dict(scale=-0.7, prior=bus)),
    ):
        found = first(source, draw_domain(1, 40, **planted))
        assert found.name == expected and found.score >= 1, planted
    assert first(source, draw_domain(1, 40)).score < 1


def some_with_bus(seed: int, images: int, share: float) -> list[Observed]:
    """Draw a domain that has the last class in a share of its images."""
    without = np.array([0.65, 0.2, 0.15, 0])
    wanted = round(share * images)
    return [
        *draw_domain(seed, wanted, np.array([0.55, 0.2, 0.15, 0.1])),
        *draw_domain(seed + 1, images - wanted, without),
    ]


def test_a_class_of_few_images_that_grows_is_found():
    rare = some_with_bus(0, 160, 0.15)
    for seed in range(2, 12, 2):
        grown = first(rare, some_with_bus(seed, 64, 0.75))
        assert grown.name == PRIOR and grown.text.startswith(CLASSES[3])
        assert grown.score >= 2.6  # its log factor alone: less than 2.5
        assert first(rare, some_with_bus(seed, 64, 0.15)).score < 1


def test_the_errors_of_shares_are_those_of_drawn_images():
    many = Domain.of(some_with_bus(0, 2000, 0.2))
    drawn = [
        many.summary(np.random.default_rng(i).permutation(2000)[:50])
        for i in range(400)
    ]
    spread = np.std([one.predicted for one in drawn], 0)
    errors = np.mean([one.errors for one in drawn], 0)
    np.testing.assert_allclose(errors, spread, rtol=0.15)


def test_a_planted_class_must_be_the_one_that_is_named():
    found = Finding(PRIOR, 1.5, 2.0, 'traffic light x 4.50, predicted x 3.70')
    assert is_right('prior', 'traffic light x 5', found)
    assert not is_right('prior', 'bus x 5', found)
    assert not is_right('removed', 'no traffic light', found)
    assert not is_right('none', 'none', found)
    assert is_right('none', 'none', None)
    assert is_right('cast', 'gains', found._replace(name=COLOUR, text='x'))


def test_only_what_is_no_chance_is_corrected(source):
    same = draw_domain(1, 40)
    prior = estimate_priors(source, same)
    np.testing.assert_allclose(proven_prior(source, same, prior), prior.source)
    bus = draw_domain(1, 40, np.array([0.28, 0.11, 0.11, 0.5]))
    prior = estimate_priors(source, bus)
    assert proven_prior(source, bus, prior)[3] > 3 * prior.source[3]


def test_a_shift_is_planted_in_the_source_and_measured(source):
    logs = np.array([0, np.log(5), 0, -np.log(5)])
    own = as_if_source(source, logs, np.random.default_rng(0))
    truth = np.concatenate([image.truth for image in own])
    planted = SOURCE * np.exp(logs)
    planted /= planted.sum()
    shares = np.bincount(truth, minlength=4) / len(truth)
    np.testing.assert_allclose(shares, planted, atol=0.02)
    prior = estimate_priors(own, as_if_target(draw_domain(1, 40), logs))
    np.testing.assert_allclose(prior.source, planted, atol=0.02)
    np.testing.assert_allclose(prior.shrunk, SOURCE, atol=0.05)
    row = measure(source, draw_domain(1, 40), 0, 3)
    assert row['shifted'] < row['unshifted'] - 2
    assert abs(row['true'] - row['unshifted']) < 1
    header, _, *lines = summary([row])
    assert header.startswith('| prior by |')
    assert [line.split(' | ')[0] for line in lines] == [
        '| taken',
        '| shrunk',
        '| black_box',
        '| em',
        '| true',
    ]


def test_the_verdict_follows_from_the_findings(source):
    tool = runpy.run_path(str(TOOL))
    judge = tool['judge']
    moved = Finding(PRIOR, 1.6, 2.0, 'bus x 5')
    dark = Finding(BRIGHTNESS, -0.7, 5.0, 'brightness x 0.5')
    chance = Finding(COLOUR, 0.01, 0.1, 'colour x 1')
    assert judge([chance], [], 1.0)[0] == 'source-only is enough'
    assert judge([moved, chance], [], 1.0)[0] == 'correct the prior'
    assert judge([dark, moved], [], 0.9)[0] == 'adapt'
    assert judge([dark, moved], [], 0.3)[0] == 'label'
    verdict, why = judge([chance], ['tram'], 1.0)
    assert verdict == 'label' and 'tram' in why
    for prior, expected in (
        (SOURCE, 'source-only is enough'),
        (np.array([0.28, 0.11, 0.11, 0.5]), 'correct the prior'),
    ):
        target = draw_domain(1, 40, prior)
        priors = estimate_priors(source, target)
        found = check(source, target, CLASSES, priors)
        of_both = tool['verdict_of'](source, target, found, [])
        assert of_both[0] == expected


def test_a_class_that_few_images_have_is_not_missing(tmp_path):
    look = runpy.run_path(str(TOOL))['classes_without_labels']
    tiny.write_towns(tmp_path)
    dataset = DATASETS.build(tiny.gta(tmp_path))
    seen = {
        *dataset[len(dataset) - 1]['data_samples']
        .gt_sem_seg.data.unique()
        .tolist()
    }
    present = min(seen - {255})
    assert look(dataset, [present, 18]) == [18]
    assert look(dataset, []) == []


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on a finished run of CAG; returns what it wrote."""
    folder = finished.write_run(tmp_path, stages=1)

    def tool(*arguments: object) -> dict:
        out = tmp_path / 'gap'
        words = [TOOL, folder / 'config.py', folder / 'iter_3.pth', *arguments]
        monkeypatch.setattr('sys.argv', [*map(str, words), '--out', str(out)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return json.loads((out / 'gap.json').read_text())

    return tool


def test_the_command_writes_a_page_with_one_verdict(run, tmp_path, capsys):
    found = run('--images', '8')
    page = (tmp_path / 'gap/gap.html').read_text()
    assert f'<h1>{found["verdict"]}</h1>' in page
    assert 'no proof' in page and '<b class="bar"' in page
    # The source's images are those that the network has learnt.
    assert 'calibration error on its training images, before' in page
    names = [one['name'] for one in found['remedies']]
    assert names[0] == 'as it is' and 're-estimate batch norms' in names
    assert all(one['gain'] is None for one in found['remedies'])
    assert 'Verdict: ' in capsys.readouterr().out
    # A tiny scene has four of the classes.
    assert found['verdict'] == 'label' and 'bicycle' in found['why']


def test_remedies_are_scored_on_labels_for_choosing(run, tmp_path):
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'val'))
    classes = tuple(dataset.metainfo['classes'])
    roles = tmp_path / 'roles.json'
    choose = {'choose': labelled_images(dataset, [0, 1])}
    write_roles(roles, Roles(classes, choose))
    found = run('--images', '8', '--roles', roles)
    assert found['remedies'][0]['gain'] == [0, 0, 0]
    for one in found['remedies'][1:]:
        value, low, high = one['gain']
        assert low <= value <= high
    content = json.loads(roles.read_text())
    roles.write_text(json.dumps({**content, 'classes': ['street']}))
    with pytest.raises(SystemExit, match="labels of the classes .'street'"):
        run('--images', '8', '--roles', roles)


def test_the_place_of_the_report_is_checked_first(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / 'notes.txt').write_text('mine')
    words = [TOOL, 'missing.py', 'missing.pth']
    words += ['--out', tmp_path / 'notes.txt']
    monkeypatch.setattr('sys.argv', [*map(str, words)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    [*_, line] = capsys.readouterr().err.splitlines()
    assert 'notes.txt: cannot be created (File exists), expected a' in line
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_the_benchmark_records_a_case(tmp_path, monkeypatch, capsys):
    folder = finished.write_run(tmp_path, stages=1)
    rows = tmp_path / 'rows'
    monkeypatch.setattr(benchmark_gap, 'GAPS', ['brightness'])
    monkeypatch.setattr(benchmark_gap, 'plant', partial(plant, images=2))
    words = ['benchmark_gap', folder / 'config.py', folder / 'iter_3.pth']
    words += ['--seeds', 31, '--towns', tmp_path / 'towns', '--out', rows]
    monkeypatch.setattr('sys.argv', [*map(str, words)])
    benchmark_gap.main()
    row = json.loads((rows / 'brightness_31.json').read_text())
    # A tiny source has four of the classes.
    assert row['verdict'] == 'label'
    assert row['planted'] == 'gain 1.6' and row['findings']
    assert 'gain 1.6' in capsys.readouterr().out
    # What is there is not measured again.
    benchmark_gap.main()
    assert 'gain 1.6' not in capsys.readouterr().out


def test_roles_of_the_training_images_fit_a_plain_config(
    tmp_path, monkeypatch
):
    """Those that tools/assign_roles.py draws if it is told nothing else."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.target_labelled = tiny.cityscapes(tmp_path, 'train')
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (tmp_path / 'config.py').write_text('\n'.join(lines))
    tool = ROOT / 'tools/assign_roles.py'
    draw = [tool, tmp_path / 'config.py', tmp_path / 'roles.json']
    draw += ['--choose', 2, '--certify', 1]
    monkeypatch.setattr('sys.argv', [*map(str, draw)])
    runpy.run_path(str(tool), run_name='__main__')
    remedy_samples = runpy.run_path(str(TOOL))['remedy_samples']

    def chosen(roles: Path) -> list[str]:
        classes = read_roles(roles).classes
        samples, _ = remedy_samples(cfg, str(roles), [], classes)
        return [Path(one.data.img_path).parts[-3] for one in samples]

    roles = tmp_path / 'roles.json'
    assert chosen(roles) == ['train', 'train']
    [path] = held_out(cfg, read_roles(roles), None).paths
    assert Path(path).parts[-3] == 'train'
    # Without roles, and with roles of the images of the test, as before.
    assert len(held_out(cfg, None, None).paths) == 2
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'val'))
    images = {'choose': labelled_images(dataset, [0])}
    classes = tuple(dataset.metainfo['classes'])
    write_roles(tmp_path / 'val.json', Roles(classes, images))
    assert chosen(tmp_path / 'val.json') == ['val']
    # On a machine that has the images of the test alone.
    folder = tmp_path / 'cityscapes/leftImg8bit/train'
    folder.rename(tmp_path / 'elsewhere')
    assert chosen(tmp_path / 'val.json') == ['val']
    with pytest.raises(UserError, match='^target_labelled: no folder .*train'):
        chosen(roles)


def small_network(**head) -> nn.Module:
    torch.manual_seed(0)
    settings = tiny.segmentor(dropout=0)
    settings.decode_head.update(head)
    model = MODELS.build(settings)
    return model.eval()


def drawn(*sides: int) -> list[Sample]:
    """Images of these sides, without labels."""
    found = []
    for side in sides:
        data = SegDataSample(
            metainfo=dict(ori_shape=(side, side), img_shape=(side, side))
        )
        image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
        found.append(Sample(image, data))
    return found


def tried_on(
    model: nn.Module, samples: list[Sample], *priors: np.ndarray
) -> dict[str, Tried]:
    groups = [*map(str, range(len(samples)))]
    found = try_remedies(
        model, model.data_preprocessor, samples, groups, priors, 'car', 1.0
    )
    return {one.name: one for one in found}


def test_batch_norms_get_the_statistics_of_images_of_any_size(capsys):
    model = small_network()
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    model.backbone.layers.append(pool.eval())
    prior = np.full(19, 1 / 19)
    # Five, and not four and one, whose pool would be a single value.
    for sides in ([16] * 5, [16, 24, 16, 24], [16] * 9 + [24] * 5):
        found = tried_on(model, drawn(*sides), prior, prior)
        assert [*found] == ['as it is', 're-estimate batch norms']
    assert not capsys.readouterr().out
    found = tried_on(model, drawn(16, 16, 24), prior, prior)
    assert [*found] == ['as it is']
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith('re-estimate batch norms: left out, a norm sees')


def test_statistics_are_those_of_all_images_of_a_batch_of_mixed_sizes():
    model, samples = small_network(), drawn(16, 24, 16, 24, 24)
    images = [preprocess(model.data_preprocessor, one) for one in samples]
    renewed = with_own_statistics(model, images, samples)
    batches = [
        dict(
            inputs=torch.cat([images[i] for i in part]),
            data_samples=[samples[i].data for i in part],
        )
        for part in ([0, 2], [1, 3, 4])
    ]
    estimate_statistics(model, batches)
    for name, value in renewed.named_buffers():
        torch.testing.assert_close(value, model.get_buffer(name), msg=name)


def test_a_sigmoid_predicts_by_the_threshold_of_its_head(tmp_path):
    model = dict(tiny.segmentor(), type='SupervisedSegmentor')
    model['decode_head'].update(num_classes=1, threshold=0.3)
    state = MODELS.build(model).state_dict()
    state['decode_head.conv_seg.weight'].zero_()
    state['decode_head.conv_seg.bias'].fill_(np.log(0.4 / 0.6))
    cfg = Config(dict(model=model))
    network = load_labeling_network(cfg, state, tmp_path)
    network.bank.counts += 1
    samples = drawn(16, 24)
    preprocessor = network.model.data_preprocessor
    seen = observe(network, preprocessor, samples[0])
    assert predict_map(network.model, samples[0]).min() == 1
    assert seen.predicted[0] == 0 < seen.predicted[1]
    # A probability of 0.4 becomes 0.31 by the first prior, 0.22 by the second.
    prior = np.array([0.5, 0.5])
    for share, changed in ((0.4, 0), (0.3, 1)):
        moved = np.array([1 - share, share])
        found = tried_on(network.model, samples, prior, moved)
        assert found['re-weight by the class prior (car)'].changed == changed


def test_the_remedy_by_the_prior_says_which_classes_it_moves():
    proven = np.array([False, True, False, True])
    assert proven_estimate(proven, CLASSES) == 'car, bus, by black box'
    assert proven_estimate(~np.eye(4, dtype=bool)[0], CLASSES) == (
        'all classes, shrunk'
    )


def test_images_of_a_drive_are_no_independent_evidence():
    rng = np.random.default_rng(0)
    # A remedy helps on half of the drives, and on all images of these.
    before = np.array([[[60, 40], [40, 60]]]).repeat(40, 0)
    better = before + np.array([[20, -20], [-20, 20]])
    drives = [f'drive {number // 8}' for number in range(40)]
    helped = np.isin(drives, rng.permutation(np.unique(drives))[:3])
    after = np.where(helped[:, None, None], better, before)
    widths = []
    for groups in ([*map(str, range(40))], drives):
        value, low, high = _gain([*after], [*before], groups)
        assert low <= value <= high
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]
    assert _gain([*after], [*before], ['one drive'] * 40) is None
    assert _gain([], [], ['a', 'b']) is None


NAMES = {'road': 7, 'building': 11, 'sky': 23, 'car': 26}  # raw ids


def of_four(root: Path, split: str) -> dict:
    """Labelled images of the four classes that a tiny scene has."""
    cfg = tiny.cityscapes(root, split)
    reader = dict(
        type='LoadLabelsByName',
        classes=[*NAMES],
        ids=NAMES,
        void_ids=[0],
    )
    cfg['pipeline'] = [cfg['pipeline'][0], reader, cfg['pipeline'][-1]]
    return dict(
        cfg,
        type='BaseSegDataset',
        img_suffix='_leftImg8bit.png',
        metainfo=dict(classes=[*NAMES]),
    )


def darken(folder: Path) -> None:
    for path in folder.rglob('*.png'):
        tiny.save_image(path, read_image(str(path))[..., ::-1] // 2)


def test_source_only_is_enough_for_its_own_town(tmp_path, monkeypatch):
    """Another draw of the scenes, through a network that has learnt them."""
    cfg, town = tiny.warm_up(tmp_path), tmp_path / 'cityscapes'
    for seed, split in enumerate(('train', 'val')):
        tiny.write_cityscapes(town, split, 40, seed)
    source = of_four(tmp_path, 'train')
    cfg.model.decode_head.num_classes = 4
    cfg.train_dataloader.dataset = cfg.anchor_dataloader.dataset = source
    cfg.val_dataloader.dataset = of_four(tmp_path, 'val')
    Runner.from_cfg(cfg).train()
    cfg.target_dataset = of_four(tmp_path, 'val')
    cfg.test_dataloader = cfg.val_dataloader
    path = finished.save(cfg, tmp_path / 'run', range(0)) / 'config.py'

    def verdict(out: str) -> str:
        words = [TOOL, path, tmp_path / 'warm/iter_60.pth', '--images', '40']
        words += ['--out', tmp_path / out]
        monkeypatch.setattr('sys.argv', [*map(str, words)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return json.loads((tmp_path / out / 'gap.json').read_text())['verdict']

    assert verdict('same') == 'source-only is enough'
    darken(town / 'leftImg8bit/val')
    assert verdict('dark') != 'source-only is enough'


def test_gaps_are_planted_in_one_and_the_same_town(tmp_path):
    for gap in ('none', 'cast'):
        told = plant(tmp_path / gap, gap, seed=3, images=1)
    (label, image), (same, tinted) = (
        [read_image(str(p)).astype(float) for p in sorted(part)]
        for part in (
            (tmp_path / 'none').rglob('*.png'),
            (tmp_path / 'cast').rglob('*.png'),
        )
    )
    assert told.startswith('gains')
    np.testing.assert_array_equal(label, same)
    assert np.abs(np.log(tinted.mean((0, 1)) / image.mean((0, 1)))).max() > 0.1
