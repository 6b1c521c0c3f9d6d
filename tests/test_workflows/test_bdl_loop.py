# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""BDL's loop on tiny data: done once, killed and restarted, refused."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.engine.runtime.step_hooks import StepSeedHook
from mmseg_cag.errors import UserError
from mmseg_cag.workflows.bdl import plan as loop
from mmseg_cag.workflows.bdl.plan import load_steps
from mmseg_cag.workflows.pseudo_labels import make
from mmseg_cag.workflows.translate import ImageFolder
from tests import tiny

ITERS = 3
STEPS = [
    dict(name='translator_1', train='configs/translator.py'),
    dict(name='translated_1', translate='translator_1'),
    dict(name='plain_1', train='configs/plain.py', images='translated_1'),
    dict(name='labels_1', label='plain_1'),
    dict(
        name='ssl_1',
        train='configs/ssl.py',
        images='translated_1',
        labels='labels_1',
    ),
    dict(
        name='translator_2', train='configs/translator.py', perceptual='ssl_1'
    ),
    dict(name='translated_2', translate='translator_2'),
    dict(name='plain_2', train='configs/plain.py', images='translated_2'),
]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    tiny.write_towns(tmp_path)
    write_configs()
    # What the tests' process holds is gone through after each training.
    gc.freeze()
    yield
    gc.unfreeze()


def base() -> Config:
    cfg = tiny.adversarial_run(Path.cwd(), Path('unused'), tiny.bdl())
    cfg.work_dir = cfg.experiment_name = None
    cfg.default_hooks.update(
        recipe=dict(type='ProvenanceHook'),
        check_data=dict(type='CheckDataHook'),
    )
    cfg.train_cfg.update(max_iters=ITERS, val_interval=ITERS)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    return cfg


def write_configs(**changes) -> None:
    """Write the three configs; the changes are of the translator's."""
    plain = base()
    source = plain.train_dataloader.dataset.domains.source
    source.pipeline[0] = dict(type='LoadTranslatedImage')
    ssl = copy.deepcopy(plain)
    target = ssl.train_dataloader.dataset.domains.target
    target.data_prefix.seg_map_path = 'pseudo_labels'
    target.seg_map_suffix = '_leftImg8bit.png'
    target.pipeline.insert(1, dict(type='LoadPseudoLabels'))
    target.pipeline[-1] = dict(type='PackPseudoSegInputs')
    translator = base()
    translator.model = dict(
        type='ImageTranslator',
        data_preprocessor=tiny.preprocessor([127.5] * 3, [127.5] * 3),
        generator=dict(type='ResNetGenerator', channels=4, num_blocks=1),
        discriminator=dict(
            type='PatchDiscriminator', channels=4, num_layers=2
        ),
        pool_size=2,
    )
    members = translator.optim_wrapper.members
    members.generators = members.pop('student')
    translator.val_dataloader = translator.val_cfg = None
    translator.val_evaluator = None
    images = dict(tiny.gta(Path.cwd()), pipeline=tiny.pipeline(None))
    translator.translate_dataloader = dict(
        batch_size=2, num_workers=0, dataset=images
    )
    translator.merge_from_dict(changes)
    Path('configs').mkdir(exist_ok=True)
    for name, cfg in (
        ('plain', plain),
        ('ssl', ssl),
        ('translator', translator),
    ):
        # Config.dump would format it, for seconds.
        lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
        Path(f'configs/{name}.py').write_text('\n'.join(lines))


def loop_config(folder: str = 'work', steps: list | None = None) -> Config:
    return Config(
        dict(
            steps=copy.deepcopy(steps or STEPS),
            work_dir=folder,
            launcher='none',
        )
    )


def in_process(
    work: Callable[[], None],
    killed_at: tuple[object, str, int] | None = None,
) -> int:
    """Work in a process of its own, which may get killed.

    Args:
        work: What it does.
        killed_at: Object, name of its method, and at which call of it.

    Returns:
        The exit code.
    """

    def run() -> None:
        torch.set_num_threads(1)
        if killed_at:
            let_kill(*killed_at)
        work()

    process = multiprocessing.get_context('fork').Process(target=run)
    process.start()
    process.join()
    return process.exitcode


def let_kill(owner: object, name: str, at: int) -> None:
    method, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)

    setattr(owner, name, counted)


def train(folder: str, **kwargs) -> int:
    return in_process(lambda: loop.train_loop(loop_config(folder)), **kwargs)


def state(path: str) -> dict:
    return torch.load(path, weights_only=False)


@pytest.mark.long
def test_killed_and_restarted_it_ends_with_the_same_numbers():
    assert train('whole') == 0
    iteration = (StepSeedHook, 'before_train_iter')
    for killed_at, half_done in (
        ((ImageFolder, 'write', 3), 'translated_1.part/00002.png'),
        ((*iteration, 3), 'plain_1/iter_2.pth'),
        ((make, 'predict', 3), 'labels_1.part/predictions'),
        ((*iteration, ITERS + 2), 'translator_2/iter_1.pth'),
    ):
        assert train('killed', killed_at=killed_at) == -signal.SIGKILL
        assert Path('killed', half_done).exists()
    assert train('killed') == 0
    for name in ('translator_1', 'ssl_1', 'translator_2', 'plain_2'):
        one, two = (
            state(f'{folder}/{name}/iter_{ITERS}.pth')
            for folder in ('whole', 'killed')
        )
        for part in ('state_dict', 'optimizer'):
            torch.testing.assert_close(one[part], two[part], rtol=0, atol=0)


def complaint(until: str | None = None, **changes) -> str:
    cfg = loop_config()
    cfg.merge_from_dict(changes)
    with pytest.raises(UserError) as caught:
        loop.train_loop(cfg, until)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_result_of_something_else_is_not_reused():
    loop.train_loop(loop_config(), until='plain_1')
    before = Path('work/plain_1/iter_3.pth').read_bytes()
    # The translator's settings have changed.
    write_configs(**{'randomness.seed': 7})
    line = complaint()
    assert 'randomness.seed was 5, is 7; move work/translator_1 ' in line
    # It was trained anew: its images are others'.
    time.sleep(1)  # by which mmengine tells two runs of a folder apart
    Path('work/translator_1').rename('old_1')
    line = complaint()
    assert line.startswith('work/translated_1: ')
    # They were made anew: the network is of the old ones.
    Path('work/translated_1').rename('old_2')
    line = complaint()
    assert line.startswith('work/plain_1/iter_3.pth: was trained with other')
    assert 'inputs_sha256.translated_1 was' in line
    assert Path('work/plain_1/iter_3.pth').read_bytes() == before


def test_images_of_ones_own():
    for name in ('images', 'labels'):
        assert Path('gta', name).is_dir()
    Path('gta/images').rename('mine')
    steps = [dict(name='plain', train='configs/plain.py', images='mine')]
    cfg = loop_config(steps=steps)
    loop.train_loop(cfg)
    assert Path('work/plain/iter_3.pth').is_file()
    # One is lost.
    Path('mine/00004.png').unlink()
    with pytest.raises(UserError) as caught:
        loop.train_loop(loop_config('again', steps))
    assert str(caught.value) == (
        f'{Path.cwd()}/mine/00004.png: translated image not found; of 7 '
        f'labels in {Path.cwd()}/gta/labels, 1 have none'
    )


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        ({'steps.1.translate': 'plain_1'}, 'steps.1.translate=plain_1: exp'),
        ({'steps.2.images': 'none'}, 'steps.2.images=none: expected an earli'),
        ({'steps.4.images': 'labels_1'}, 'steps.4.images=labels_1: expected'),
        ({'steps.0.train': 'none.py'}, 'steps.0.train=none.py: config file'),
        ({'steps.5.name': 'ssl_1'}, 'steps.5.name=ssl_1: an earlier step'),
        ({'steps.1.train': 'x'}, 'steps.1: has name, translate, train, exp'),
        ({'steps.3.iters': 3}, 'steps.3: has iters, expected of name, label'),
        ({'steps.2.labels': 'gta'}, 'steps.2.labels: train_dataloader.datas'),
        ({'steps': []}, 'None: steps is missing, expected a list'),
    ],
)
def test_a_plan_that_cannot_be(changes, line):
    assert complaint(**changes).startswith(line)
    assert not Path('work').exists()


def test_an_unknown_end():
    line = complaint(until='ssl_9')
    assert line.startswith('--until ssl_9: no such step, expected one of tr')


def test_a_mistake_is_found_before_the_first_step():
    path = Path('configs/ssl.py')
    path.write_text(path.read_text().replace('leftImg8bit/val', 'none'))
    assert 'val_dataloader.dataset: no folder' in complaint()
    assert not Path('work').exists()


def test_iterations_and_options_of_a_step():
    cfg = loop_config()
    cfg.options = {'randomness.seed': 3}
    cfg.steps[2].iters = 2
    cfg.steps[2].options = {'optim_wrapper.members.student.optimizer.lr': 9.0}
    steps = {step.name: step for step in load_steps(cfg)}
    plain = steps['plain_1'].cfg
    assert plain.train_cfg.max_iters == 2
    assert steps['plain_1'].result == Path('work/plain_1/iter_2.pth')
    assert plain.optim_wrapper.members.student.optimizer.lr == 9
    assert plain.randomness.seed == 3
    assert steps['translator_1'].cfg.model.get('perceptual') is None
    network = steps['translator_2'].cfg.model.perceptual
    assert network.checkpoint == 'work/ssl_1/iter_3.pth'
    assert network.segmentor.type == 'BDLSegmentor'
