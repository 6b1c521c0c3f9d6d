# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train a multi-source config with all sources, then without each one.

python tools/leave_one_out.py CONFIG

trains each run, and the warm-up it starts from, in its own folder, and resumes
after an interruption. It prints how much each source helps on the target, and
how the network performs on the unseen source.
"""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path
from typing import Any

from command_line import add_cfg_options
from mmengine.config import Config, ConfigDict
from series import placed

ALL = 'none'  # is left out


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config with a DomainPool as source')
    parser.add_argument('--work-dir', help='parent folder of the runs')
    parser.add_argument(
        '--leave-out',
        nargs='+',
        metavar='SOURCE',
        help=f'leave out only these; {ALL} trains with all',
    )
    parser.add_argument(
        '--unseen-images',
        type=int,
        default=100,
        metavar='N',
        help='images of the left-out source to evaluate on; 0 for none',
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', '0')
    return args


def members_of(cfg: Config) -> dict[str, dict]:
    """Find the sources of a config by name.

    Raises:
        UserError: The source is no pool of two or more.
    """
    from mmseg_cag.errors import UserError

    dataset = cfg.train_dataloader.dataset
    source = (dataset.get('domains') or {}).get('source') or {}
    found = {n: m for n, m in (source.get('members') or {}).items() if m}
    if len(found) < 2:
        raise UserError(
            'train_dataloader.dataset.domains.source: expected a DomainPool '
            'of two members or more, to leave one out'
        )
    return found


def without(cfg: Config, name: str, folder: Path) -> Config:
    """Leave a source out of a run and of all runs that it starts from.

    Raises:
        UserError: One of them reads its images outside a pool that names it.
    """
    from mmseg_cag.datasets.dataset_configs import loaders_of
    from mmseg_cag.errors import UserError

    left_out = dict(members={name: None})

    def options(run: Config) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if name == ALL:
            return found
        own = places(members_of(cfg)[name])
        for loader in ('train_dataloader', 'anchor_dataloader'):
            dataset = (run.get(loader) or {}).get('dataset') or {}
            source = (dataset.get('domains') or {}).get('source') or {}
            if name in (dataset.get('members') or {}):
                found[loader] = dict(dataset=left_out)
            elif name in (source.get('members') or {}):
                domains = dict(source=left_out)
                found[loader] = dict(dataset=dict(domains=domains))
            elif loader in loaders_of(run) and own & places(dataset):
                raise UserError(
                    f'{run.filename}: {loader} reads the images of {name}, '
                    f'expected them as the member {name} of a DomainPool, to '
                    'leave them out'
                )
        return found

    return placed(cfg, folder, options)


def places(dataset: dict) -> set[tuple]:
    """List where the images of a data set are, of each inside wrappers."""
    from mmseg_cag.datasets.dataset_configs import leaves

    found = set()
    for _, _, part in leaves(dataset, 'dataset'):
        if part:
            own = [part.get(key) for key in ('type', 'data_root', 'ann_file')]
            own.append((part.get('data_prefix') or {}).get('img_path'))
            found.add(tuple(map(str, own)))
    return found


def unseen_pool(cfg: Config, name: str, images: int) -> dict | None:
    """Make a test set of a source's images; None if there are none.

    Args:
        cfg: The config, whose pool for anchors has the source.
        name: Name of the source.
        images: Number of images.

    Returns:
        Config of a pool of one domain, ``unseen``, which knows the classes
        that the source does not label.
    """
    from mmseg_cag.datasets.dataset_configs import changed_leaves
    from mmseg_cag.models.student import LABEL_LOADERS

    def at_own_size(part: dict) -> dict:
        # Predictions have the size of the image on disk: a label is read
        # after any Resize.
        *steps, pack = part['pipeline']
        steps.sort(key=lambda step: step['type'] in LABEL_LOADERS)
        return {**part, 'pipeline': [*steps, pack]}

    anchors = (cfg.get('anchor_dataloader') or {}).get('dataset') or {}
    source = (anchors.get('members') or {}).get(name)
    if not source or not images:
        return None
    source = changed_leaves(source, at_own_size)
    pools = (cfg.train_dataloader.dataset.domains.source, anchors)
    absent = [(pool.get('absent') or {}).get(name, []) for pool in pools]
    return dict(
        type='DomainPool',
        # Not its own name, which the network may have statistics of.
        members=dict(unseen=dict(source, test_mode=True, indices=images)),
        absent=dict(unseen=[*absent[0], *absent[1]]),
    )


def measure(cfg: Config, unseen: dict | None) -> dict:
    """Evaluate the last checkpoint of a run, also on a left-out source."""
    from mmseg_cag.analysis.evaluate import build_runner
    from mmseg_cag.launch.chain import last_checkpoint

    checkpoint, folder = last_checkpoint(cfg), Path(cfg.work_dir)
    found = build_runner(cfg, checkpoint, folder / 'test').test()
    found = {k: v for k, v in found.items() if k.startswith('mIoU')}
    if unseen:
        other = copy.deepcopy(cfg)
        other.test_dataloader.batch_size = 1
        other.test_dataloader.dataset = ConfigDict(unseen)
        runner = build_runner(other, checkpoint, folder / 'unseen')
        scores = runner.test()
        # mmseg's own metrics know no domains; the pool has only this one.
        value = scores.get('mIoU.unseen', scores.get('mIoU'))
        if value is not None:
            found['unseen'] = value
    return found


def main() -> None:
    """Train and evaluate one run after another."""
    args = parse_args()
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.errors import UserError, exit_on_user_error, require_one_of
    from mmseg_cag.fileio.json_file import write_json
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit
    from mmseg_cag.launch.chain import default_work_dir, train_chain

    cfg = load_or_exit(args.config)
    cfg.launcher = 'none'
    merge_or_exit(cfg, args.cfg_options)
    top = Path(args.work_dir or f'{default_work_dir(args.config)}_without')
    results: dict[str, dict] = {}
    with exit_on_user_error():
        sources = members_of(cfg)
        names = args.leave_out or (ALL, *sources)
        for name in names:
            require_one_of('--leave-out', name, (ALL, *sources))
        # All before the time is spent on training.
        if not cfg.get('test_dataloader'):
            raise UserError(
                f'{args.config}: test_dataloader is not set, expected the '
                'images to evaluate each run'
            )
        runs = {name: without(cfg, name, top / name) for name in names}
        for name, run in runs.items():
            train_chain(run, resume=True, more=True)
            unseen = unseen_pool(cfg, name, args.unseen_images)
            results[name] = measure(run, unseen)
            write_json(top / 'leave_one_out.json', results)
    columns = list(
        dict.fromkeys(key for own in results.values() for key in own)
    )
    print(' | '.join(('left out', *columns)))
    for name, own in results.items():
        cells = (f'{own[key]:.1f}' if key in own else '' for key in columns)
        print(' | '.join((name, *cells)))


if __name__ == '__main__':
    main()
