# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One file about the source, and stages without it."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.datasets.licences import data_terms
from mmseg_cag.engine.records.descent import (
    DESCENT,
    entry,
    inherited,
    read_descent,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import safe_load
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.launch.stages import select_stage
from mmseg_cag.models.anchors.source_pixels import SourcePixels
from tests import tiny
from tests.test_distributed import train_two

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/export_source_free.py'
DST, OPEN, POOL = 'source_free.pth', 'open.pth', 'pool.pth'
BLIND, IMAGE = 'blind.pth', 'image.pth'
ANCHORS = 'anchor_bank.anchors'
LEAST = 'model.anchor_bank.min_pixels=1'


def with_source(root: Path) -> Config:
    cfg = tiny.run_config(root, root / 'with_source', 2)
    cfg.model = tiny.cag(margin='auto', precision=0.3)
    cfg.load_from = str(root / 'warm.pth')
    return plain(cfg)


def with_two_sources(root: Path) -> Config:
    """A pool whose members are normalised differently."""
    cfg = with_source(root)
    cfg.work_dir = str(root / 'two_sources')
    cfg.experiment_name = 'two_sources'
    members = dict(gta=tiny.gta(root), third=tiny.gta(root))
    pool = dict(type='DomainPool', members=members)
    cfg.anchor_dataloader.dataset = pool
    cfg.train_dataloader.dataset.domains.source = pool
    other = tiny.preprocessor(mean=[10.0, 20.0, 30.0])
    cfg.model.data_preprocessor.domains = dict(third=other)
    return cfg


def plain(cfg: Config) -> Config:
    """To break a config's lines takes most of a test's time."""
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    return Config(cfg.to_dict(), format_python_code=False)


def export(
    root: Path,
    *options: str,
    dst: str = DST,
    start: str = 'warm.pth',
    cfg: Config | None = None,
) -> None:
    cfg = cfg or with_source(root)
    cfg.test_pipeline = tiny.pipeline(None)
    cfg.dump(root / 'cag.py')
    words = [root / 'cag.py', root / start, root / dst, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', [str(TOOL), *map(str, words)])
        runpy.run_path(str(TOOL), run_name='__main__')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """The file, and the target alone."""
    root = tmp_path_factory.mktemp('source_free')
    tiny.write_towns(root)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    meta = {DESCENT: [entry('data', 'GTA5', 'LicenseRef-GTA5')]}
    torch.save(
        dict(meta=meta, state_dict=stock.state_dict()), root / 'warm.pth'
    )
    export(root)
    unknown = 'model.pseudo_label_head.unknown_quantile=0.9'
    export(root, '--cfg-options', unknown, dst=OPEN)
    # A class that is never predicted, and anchors that leave it out.
    stock.decode_head.conv_seg.bias.data[tiny.SKY] = -1e4
    torch.save(dict(meta=meta, state_dict=stock.state_dict()), root / BLIND)
    options = ('model.anchor_bank.level=image', LEAST)
    export(root, '--cfg-options', *options, dst=IMAGE, start=BLIND)
    pool = with_two_sources(root)
    export(root, cfg=pool, dst=POOL)
    first = with_source(root)
    for run in (first, pool):
        run.train_cfg.update(stages=1, stage_iters=1)
        Runner.from_cfg(run).train()
    shutil.move(root / 'gta', root / 'elsewhere')
    return root


def without(root: Path, name: str) -> Config:
    """Two stages of two iterations from the file."""
    cfg = tiny.run_config(root, root / name, 2)
    cfg.model = tiny.cag(margin='auto', precision=0.3)
    cfg.model.update(type='SourceFreeCAGSegmentor', source_pixels=5)
    cfg.load_from = str(root / DST)
    cfg.default_hooks.anchors.recompute = False
    cfg.default_hooks.check_checkpoint = dict(type='CheckCheckpointHook')
    cfg.anchor_dataloader = None
    cfg.train_dataloader.dataset.domains.pop('source')
    cfg.train_dataloader.dataset.labelled = []
    return plain(cfg)


def test_drawn_pixels_have_the_moments():
    torch.manual_seed(3)
    pixels = SourcePixels(2, 3)
    root = torch.randn(2, 3, 3)
    pixels.spread.copy_((root + root.mT) / 2)
    pixels.prior.copy_(torch.tensor([0.25, 0.75]))
    means = torch.tensor([[5.0, 0.0, -5.0], [1.0, 2.0, 3.0]])
    pixels.means.copy_(means)
    generator = torch.Generator().manual_seed(0)
    feat, labels, weights = pixels.draw(100_000, generator)
    assert feat.shape == (1, 3, 2, 100_000)
    for k in (0, 1):
        own = feat[0, :, k]
        covariance = pixels.spread[k] @ pixels.spread[k].T
        torch.testing.assert_close(own.mean(1), means[k], rtol=0, atol=0.03)
        torch.testing.assert_close(own.cov(), covariance, rtol=0.05, atol=0.05)
        assert (labels[0, k] == k).all()
    assert weights.mean() == 1 and weights[0, 1, 0] == 1.5
    again = pixels.draw(9, torch.Generator().manual_seed(7))[0]
    assert torch.equal(
        again, pixels.draw(9, torch.Generator().manual_seed(7))[0]
    )


def test_the_file_by_pixels_one_by_one(root):
    content = safe_load(root / DST)
    state = content['state_dict']
    dataset = tiny.gta(root)
    dataset['data_root'] = str(root / 'elsewhere')
    loader = Runner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset,
        )
    )
    network = load_network(root / DST, root / 'cag.py').cpu()
    own: dict[int, list] = {}
    for batch in loader:
        data = network.data_preprocessor(batch)
        with torch.no_grad():
            pyramid = network.extract_feat(data['inputs'])
            feat = network.decode_head._forward_feature(pyramid)[0]
        truth = data['data_samples'][0].gt_sem_seg.data[0]
        for y in range(feat.shape[1]):
            for x in range(feat.shape[2]):
                label = int(truth[4 * y, 4 * x])
                own.setdefault(label, []).append(feat[:, y, x].numpy())
    own.pop(tiny.VOID, None)
    total = sum(map(len, own.values()))
    for label, pixels in own.items():
        found = np.array(pixels, np.float64)
        spread = state['source_pixels.spread'][label].double().numpy()
        np.testing.assert_allclose(
            spread @ spread, np.cov(found.T, bias=True), atol=1e-5
        )
        np.testing.assert_allclose(
            state['anchor_bank.anchors'][label], found.mean(0), atol=1e-5
        )
        prior = state['source_pixels.prior'][label].item()
        assert prior == pytest.approx(len(found) / total)
        assert state['anchor_bank.counts'][label] == len(found)
    absent = [k for k in range(19) if k not in own]
    assert not state['source_pixels.prior'][absent].any()
    assert not state['source_pixels.spread'][absent].any()


def test_a_class_that_is_never_predicted_has_its_mean(root):
    """The anchors of images have correct pixels only, the moments all."""
    right, blind = (
        safe_load(root / name)['state_dict'] for name in (DST, IMAGE)
    )
    assert torch.equal(right['source_pixels.means'], right[ANCHORS])
    assert blind['anchor_bank.counts'][tiny.SKY] == 0
    assert blind['source_pixels.prior'][tiny.SKY] > 0
    # The features are the same.
    torch.testing.assert_close(blind['source_pixels.means'], right[ANCHORS])
    pixels = SourcePixels(*right[ANCHORS].shape)
    own = {
        key.removeprefix('source_pixels.'): value
        for key, value in blind.items()
        if key.startswith('source_pixels.')
    }
    pixels.load_state_dict(own)
    feat, *_ = pixels.draw(10_000, torch.Generator().manual_seed(0))
    drawn = feat[0, :, tiny.SKY].mean(1)
    torch.testing.assert_close(
        drawn, right[ANCHORS][tiny.SKY], rtol=0, atol=0.05
    )


def test_sources_are_normalised_as_in_training(root):
    """Anchors of a pool are those of `AnchorHook`, there and in tools."""
    path = root / 'two_sources/iter_1.pth'
    begun = torch.load(path, weights_only=False)['state_dict']
    state = safe_load(root / POOL)['state_dict']
    plain = safe_load(root / DST)['state_dict']
    torch.testing.assert_close(state[ANCHORS], begun[ANCHORS])
    assert not torch.allclose(state[ANCHORS], plain[ANCHORS], atol=1e-3)
    cfg = with_two_sources(root)
    for member in cfg.anchor_dataloader.dataset.members.values():
        member.data_root = str(root / 'elsewhere')
    warm = root / 'warm.pth'
    start = safe_load(warm)['state_dict']
    found = build_labeling_network(cfg, start, warm, 100)
    torch.testing.assert_close(found.bank.anchors.cpu(), begun[ANCHORS])


def test_a_file_has_no_anchors_of_each_domain(root):
    bank = 'model.anchor_bank.type=DomainAnchorBank'
    domains = 'model.anchor_bank.domains=[gta]'
    with pytest.raises(SystemExit, match='one set of anchors, expected Anc'):
        export(root, '--cfg-options', bank, domains)
    model = without(root, 'x').model
    model.anchor_bank.update(type='DomainAnchorBank', domains=['gta'])
    with pytest.raises(UserError, match='one set of anchors, expected Anc'):
        MODELS.build(model)


def test_the_file_names_what_it_descends_from(root):
    run, data, statistics = read_descent(root / DST)
    assert [run, data] == inherited(root / 'warm.pth', 'exported from')
    assert (run['kind'], data['name']) == ('run', 'GTA5')
    # Whatever the network was trained on.
    assert statistics['kind'] == 'data'
    assert statistics['used_as'] == 'statistics of the source'
    assert statistics['name'] == data_terms(tiny.gta(root), {})[0]


def test_it_begins_where_the_stage_with_the_source_does(root):
    """Anchors, margin and network are those of `AnchorHook`."""
    state = safe_load(root / DST)['state_dict']
    path = root / 'with_source/iter_1.pth'
    begun = torch.load(path, weights_only=False)['state_dict']
    for key in ('anchor_bank.anchors', 'anchor_bank.counts'):
        torch.testing.assert_close(state[key], begun[key])
    key = 'pseudo_label_head.margin'
    torch.testing.assert_close(state[key], begun[key])
    for key in state:
        if key.startswith(('backbone', 'decode_head')):
            assert torch.equal(state[key], begun[f'teacher.module.{key}'])


def test_losses_by_hand(root):
    model = MODELS.build(without(root, 'x').model)
    model.load_state_dict(safe_load(root / DST)['state_dict'], strict=False)
    model.train().decode_head.dropout = None
    generator = torch.Generator().manual_seed(1)
    losses = model.source_losses(generator)
    again = torch.Generator().manual_seed(1)
    prior = model.source_pixels.prior
    feat, *_ = model.source_pixels.draw(5, again)
    expected = 0.0
    for k in range(19):
        for p in range(5):
            scores = model.decode_head.conv_seg(
                feat[:, :, k : k + 1, p : p + 1]
            )
            expected -= prior[k] * scores.log_softmax(1)[0, k].squeeze() / 5
    torch.testing.assert_close(losses['source.loss_ce'], expected)
    data = model.data_preprocessor(tiny.raw_batch(), True)
    losses = model(
        {'target': data['inputs']['target']},
        {'target': data['data_samples']['target']},
        mode='loss',
    )
    assert {key for key in losses if 'loss' in key} == {
        'source.loss_ce',
        'target.loss_ce_anchor',
        'target.loss_anchor',
    }


def test_one_sigmoid_is_two_classes(root):
    cfg = without(root, 'x').model
    cfg.decode_head.update(num_classes=2, out_channels=1, dropout_ratio=0)
    cfg.decode_head.loss_decode.use_sigmoid = True
    model = MODELS.build(cfg).train()
    torch.nn.init.normal_(model.source_pixels.means)
    model.source_pixels.prior.copy_(torch.tensor([0.75, 0.25]))
    losses = model.source_losses(torch.Generator().manual_seed(1))
    feat, labels, weights = model.source_pixels.draw(
        5, torch.Generator().manual_seed(1)
    )
    scores = model.decode_head.conv_seg(feat)[:, 0]
    expected = F.binary_cross_entropy_with_logits(
        scores, labels.float(), weights
    )
    torch.testing.assert_close(losses['source.loss_ce'], expected)


@pytest.fixture(scope='module')
def whole(root) -> Path:
    """The folder of a run of both stages."""
    Runner.from_cfg(without(root, 'whole')).train()
    return root / 'whole'


def test_stages_one_by_one(root, whole):
    """From a file of the end of stage 1: they are stages 2 and 3."""
    content = safe_load(root / DST)
    content['state_dict']['stage'] = torch.tensor(1)
    torch.save(content, root / 'later.pth')
    for stage in (1, 2):
        cfg = without(root, 'alone')
        cfg.load_from = str(root / 'later.pth')
        select_stage(cfg, stage)
        Runner.from_cfg(cfg).train()
        folder = root / f'alone/stage_{stage}'
        first, last = (
            torch.load(folder / f'iter_{i}.pth', weights_only=False)
            for i in (1, 2)
        )
        together = torch.load(
            whole / f'iter_{2 * stage - 1}.pth', weights_only=False
        )
        # The teacher is the student at the end of the stage before.
        for key, value in together['state_dict'].items():
            if key.startswith(('teacher', 'anchor_bank', 'source_pixels')):
                assert torch.equal(first['state_dict'][key], value), key
        assert last['state_dict']['stage'] == 1 + stage


def test_where_a_stage_starts(root):
    cfg = without(root, 'not_yet')
    select_stage(cfg, 2)
    # Not from the file again: that were stage 1.
    assert cfg.load_from == str(root / 'not_yet/iter_2.pth')
    cfg = without(root, 'not_yet')
    select_stage(cfg, 2, start_is_given=True)
    assert cfg.load_from == str(root / DST)
    with pytest.raises(UserError, match='--stage 3: does not exist'):
        select_stage(without(root, 'not_yet'), 3)


def test_a_run_without_the_source_goes_on_bit_by_bit(root, whole):
    cfg = without(root, 'again')
    cfg.load_from, cfg.resume = str(root / 'whole/iter_3.pth'), True
    Runner.from_cfg(cfg).train()
    one, two = (
        torch.load(root / name / 'iter_4.pth', weights_only=False)
        for name in ('whole', 'again')
    )
    begun = safe_load(root / DST)['state_dict']
    for key, value in one['state_dict'].items():
        assert torch.equal(value, two['state_dict'][key]), key
        held = key.startswith(('anchor_bank', 'pseudo_', 'source_pixels'))
        assert not held or torch.equal(value, begun[key]), key
    assert one['state_dict']['stage'] == 2
    weight = 'backbone.layers.0.conv.weight'
    assert not torch.equal(one['state_dict'][weight], begun[weight])


@pytest.mark.long
def test_ranks_hold_the_same(root):
    cfg = without(root, 'two')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(root, cfg)
    first, second = (
        torch.load(root / f'two/rank{rank}_4.pth') for rank in (0, 1)
    )
    for key, value in first['state_dict'].items():
        same = torch.equal(value, second['state_dict'][key])
        assert same or 'running_' in key, key
    assert first['losses'] != second['losses']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('anchor_bank.anchors'), 'has no anchor_bank.anchors'),
        (lambda s: s['anchor_bank.counts'].zero_(), 'is 0 for every class'),
        (
            lambda s: s['source_pixels.spread'].fill_(torch.nan),
            'spread holds the number nan',
        ),
        (
            lambda s: s['pseudo_label_head.margin'].fill_(torch.nan),
            'margin holds the number nan',
        ),
        (
            lambda s: s['anchor_bank.counts'].sub_(1000),
            'counts holds the number -',
        ),
        (
            lambda s: s['pseudo_label_head.margin'].fill_(torch.inf),
            'has no finite margin or limit',
        ),
        (lambda s: s.pop('source_pixels.means'), 'has no source_pixels.means'),
        (
            lambda s: s.update({'anchor_bank.anchors': torch.ones(19, 9)}),
            r'anchors has shape \(19, 9\), but \(19, 8\) in this network',
        ),
        (
            lambda s: s.update(
                {'backbone.layers.0.conv.weight': torch.ones(1)}
            ),
            'a checkpoint of another network',
        ),
    ],
)
def test_a_file_that_does_not_do_is_refused(change, message, root, tmp_path):
    content = safe_load(root / DST)
    change(content['state_dict'])
    torch.save(content, tmp_path / 'bad.pth')
    cfg = without(root, 'bad')
    cfg.load_from = str(tmp_path / 'bad.pth')
    with pytest.raises(UserError, match=message) as caught:
        Runner.from_cfg(cfg).train()
    assert '\n' not in str(caught.value) and 'bad.pth: ' in str(caught.value)


def test_limits_that_are_no_numbers_are_refused(root):
    cfg = without(root, 'x').model
    cfg.pseudo_label_head.unknown_quantile = 0.9
    state = safe_load(root / OPEN)['state_dict']
    state['pseudo_label_head.unknown.limit'][0] = torch.nan
    with pytest.raises(UserError, match='limit holds the number nan'):
        MODELS.build(cfg).require_state(state, 'open.pth')


def test_a_file_of_classes_in_another_order_is_refused(root, tmp_path):
    content = safe_load(root / DST)
    classes = list(content['meta']['dataset_meta']['classes'])
    content['meta']['dataset_meta']['classes'] = classes[::-1]
    torch.save(content, tmp_path / 'other.pth')
    cfg = without(root, 'other')
    cfg.load_from = str(tmp_path / 'other.pth')
    with pytest.raises(UserError, match='other.pth: has the classes bicyc'):
        Runner.from_cfg(cfg).train()


def test_limits_of_the_unknown_are_in_the_file(root):
    limit = safe_load(root / OPEN)['state_dict'][
        'pseudo_label_head.unknown.limit'
    ]
    assert limit.isfinite().any() and limit.isinf().any()
    cfg = without(root, 'unknown')
    cfg.model.pseudo_label_head.unknown_quantile = 0.9
    cfg.load_from = str(root / OPEN)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert torch.equal(runner.model.pseudo_label_head.unknown.limit, limit)


def test_without_a_file_nothing_is_trained(root):
    cfg = without(root, 'none')
    cfg.load_from = None
    with pytest.raises(UserError, match='load_from=None: has no anchors'):
        Runner.from_cfg(cfg).train()


def test_another_method_has_nothing_to_export(root):
    with pytest.raises(SystemExit, match='expected a config of CAGSegmentor'):
        export(root, '--cfg-options', 'model.type=EncoderDecoder')
