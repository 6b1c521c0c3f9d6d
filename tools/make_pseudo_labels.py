# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write pseudo labels for confident pixels of the target's training images.

python tools/make_pseudo_labels.py CONFIG CHECKPOINT OUT

writes a label map of train ids for each image, and their provenance into
OUT/pseudo_labels.json. Distributed: tools/dist_make_pseudo_labels.sh.
"""

from __future__ import annotations

import argparse

from command_line import add_run_options, load_run


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('out', help='output folder of the labels')
    parser.add_argument(
        '--portion',
        type=float,
        default=0.5,
        help="quantile of a class's confidences used as its threshold; 0.5, "
        'as published, is the median',
    )
    parser.add_argument(
        '--cap',
        type=float,
        default=0.9,
        help='upper bound of the thresholds; 0.9 as published',
    )
    add_run_options(parser)
    args = parser.parse_args()
    for name in ('portion', 'cap'):
        if not 0 <= getattr(args, name) <= 1:
            raise SystemExit(f'error: --{name}: expected a number in 0..1')
    return args


def main() -> None:
    """Make the labels and print the thresholds."""
    args = parse_args()
    cfg = load_run(args)
    # Imported after the config, which may select modules.
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.errors import exit_on_user_error
    from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
    from mmseg_cag.workflows.pseudo_labels.select_confident import (
        ThresholdRule,
    )

    init_default_scope(cfg.get('default_scope', 'mmseg'))
    rule = ThresholdRule(args.portion, args.cap)
    with exit_on_user_error():
        use_gloo_without_gpu(cfg)
        note = make_pseudo_labels(cfg, args.checkpoint, args.out, rule)
    if is_main_process():
        for name, found in note['classes'].items():
            share = found['kept'] / max(found['predicted'], 1)
            print(
                f'{name:15} threshold {found["threshold"]:.4f}, '
                f'{share:6.1%} of {found["predicted"]} pixels kept'
            )


if __name__ == '__main__':
    main()
