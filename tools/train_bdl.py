# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run BDL's loop: ``python tools/train_bdl.py CONFIG``.

The config lists the steps. Each runs once; called again, the command resumes
where it stopped. Distributed: tools/dist_train_bdl.sh CONFIG GPUS.
"""

from __future__ import annotations

import argparse

from command_line import add_cfg_options, add_launcher


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a loop')
    parser.add_argument(
        '--work-dir', help="parent folder of the steps' folders"
    )
    parser.add_argument('--until', metavar='NAME', help='last step to run')
    add_cfg_options(
        parser,
        'override settings: options.key.of.all.runs=value, '
        'steps.3.iters=value ...',
    )
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    """Run the remaining steps."""
    args = parse_args()
    # Imported after parsing: these imports take seconds.
    from mmengine.registry import init_default_scope

    from mmseg_cag.errors import exit_on_user_error
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit
    from mmseg_cag.launch.chain import default_work_dir
    from mmseg_cag.workflows.bdl.plan import train_loop

    cfg = load_or_exit(args.config)
    cfg.launcher = args.launcher
    merge_or_exit(cfg, args.cfg_options)
    default = cfg.get('work_dir') or default_work_dir(args.config)
    cfg.work_dir = args.work_dir or default
    init_default_scope('mmseg')
    with exit_on_user_error():
        train_loop(cfg, args.until)


if __name__ == '__main__':
    main()
