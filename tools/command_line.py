# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Options that several commands share, and the config that they give."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from mmengine.config import Config


def add_cfg_options(
    parser: argparse.ArgumentParser,
    text: str = 'override settings: key.of.config=value ...',
) -> None:
    """Add ``--cfg-options``.

    Args:
        parser: The command's.
        text: Its help.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help=text,
    )


def expression(text: str) -> str:
    """Check a regular expression, as the type of an option."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f'{text}: {error}, expected a regular expression'
        ) from None
    return text


def output_folder(text: str | Path) -> Path:
    """Create a folder to write into, as the type of an option.

    It is created first, so that long work is not in vain.
    """
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f'{path}: cannot be created ({error.strerror}), expected a folder'
        ) from None
    return path


def output_file(text: str) -> Path:
    """Check the path of a file to write, as the type of an option."""
    path = Path(text)
    output_folder(path.parent)
    if path.is_dir():
        raise argparse.ArgumentTypeError(
            f'{path}: is a folder, expected a file'
        )
    return path


def add_run_options(
    parser: argparse.ArgumentParser, work_dir: str = 'folder of the log'
) -> None:
    """Add the options of a command that runs on one or several processes.

    Args:
        parser: The command's.
        work_dir: Help of ``--work-dir``.
    """
    parser.add_argument('--work-dir', help=work_dir)
    add_cfg_options(parser)
    add_launcher(parser)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
    )
    # torchrun sets it; mmengine reads it with every launcher.
    os.environ.setdefault('LOCAL_RANK', '0')


def load_run(args: argparse.Namespace) -> Config:
    """Load a command's config, with the options of the command line.

    Args:
        args: ``config``, ``cfg_options``, ``launcher`` and ``work_dir``.
    """
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    cfg.launcher = args.launcher
    merge_or_exit(cfg, args.cfg_options)
    path = Path(args.config)
    cfg.work_dir = args.work_dir or cfg.get(
        'work_dir', str(Path('work_dirs', path.parent.name, path.stem))
    )
    return cfg
