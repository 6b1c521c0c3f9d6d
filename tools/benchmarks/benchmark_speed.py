# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
r"""Measure the cost of CAG beyond its networks' passes.

    python tools/benchmarks/benchmark_speed.py

times the anchor operations against loops over classes and images, and against
pure memory traffic; a mean teacher's extra work against a straightforward
form; then a whole step of a config against its bare passes. All interleaved in
one process, on synthetic data.

    python tools/benchmarks/benchmark_speed.py --device cuda --amp bf16 \
        --channels-last --compile --config configs/cag/deeplabv3plus_gta2cs.py

does so on a GPU, the step also as float32 without options.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from document import describe_machine
from mmseg.utils import register_all_modules
from rich.console import Console
from speed.measure import measure_operations, measure_scaling, measure_step
from speed.step import Form
from speed.tables import make_notes, make_tables, to_markdown
from speed.teaching import measure_teaching

from mmseg_cag.engine.runtime.malloc_hook import keep_freed_memory
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.launch.cfg_options import load_or_exit
from mmseg_cag.minitown.runs import ROOT

PARTS = ('operations', 'scaling', 'teaching', 'step')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--parts', nargs='+', choices=PARTS, default=PARTS, metavar='PART',
        help=f'what to measure, of {", ".join(PARTS)} (default: all)',
    )  # fmt: skip
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument('--threads', type=int, help="default: torch's")
    parser.add_argument('--rounds', type=int, default=7, help='default: 7')
    parser.add_argument(
        '--shape', type=int, nargs=4, default=(2, 256, 128, 224),
        metavar=('N', 'C', 'H', 'W'),
        help="of the features (default: two images of the release's)",
    )  # fmt: skip
    parser.add_argument(
        '--images', type=int, nargs=3, default=(2, 512, 512),
        metavar=('N', 'H', 'W'),
        help="of a mean teacher (default: two of DAFormer's)",
    )  # fmt: skip
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument(
        '--many-classes', type=int, default=150, help='to grow to'
    )
    parser.add_argument(
        '--config', default=str(ROOT / 'configs/minitown/cag.py'),
        help="of the step (default: minitown's)",
    )  # fmt: skip
    parser.add_argument('--checkpoint', help='weights (default: random)')
    parser.add_argument(
        '--data', action='store_true', help="load the config's images"
    )
    parser.add_argument('--amp', choices=('bf16', 'fp16'))
    parser.add_argument('--channels-last', action='store_true')
    parser.add_argument('--compile', action='store_true', help='backbones')
    parser.add_argument('--json', type=Path, help='write the results here')
    parser.add_argument('--markdown', type=Path, help='write the tables here')
    return parser.parse_args()


def measure(args: argparse.Namespace) -> dict:
    """Measure the chosen parts; returns all results."""
    form = Form(args.amp, args.channels_last, args.compile)
    cfg = load_or_exit(args.config)
    common = dict(rounds=args.rounds, device=args.device)
    results: dict = dict(machine=describe(args))
    shape = tuple(args.shape)
    if 'operations' in args.parts:
        results['operations'] = measure_operations(
            shape, args.classes, form, **common
        )
    if 'scaling' in args.parts:
        results['scaling'] = measure_scaling(
            shape, (args.classes, args.many_classes), form, **common
        )
    if 'teaching' in args.parts:
        results['teaching'] = measure_teaching(
            tuple(args.images), args.classes, **common
        )
    if 'step' in args.parts:
        results['step'] = measure_step(
            cfg, form, args.checkpoint, args.data, **common
        )
        results['step']['config'] = Path(args.config).name
    return results


def describe(args: argparse.Namespace) -> str:
    """Describe the machine, device and threads."""
    device = args.device
    if torch.device(device).type == 'cuda':
        device = torch.cuda.get_device_name(device)
    return (
        f'{describe_machine()} On {device}, {torch.get_num_threads()} threads.'
    )


def check(args: argparse.Namespace) -> None:
    """Check that the device supports the options.

    Raises:
        UserError: The device is missing or does not support the precision.
    """
    kind = torch.device(args.device).type
    if kind == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: this machine has no GPU for torch')
    if args.amp == 'fp16' and kind != 'cuda':
        raise UserError('--amp fp16: needs --device cuda; CPUs take bf16')


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    register_all_modules()
    if args.threads:
        torch.set_num_threads(args.threads)
    with exit_on_user_error():
        check(args)
        if torch.device(args.device).type == 'cpu':
            keep_freed_memory()  # as in training
        results = measure(args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=2) + '\n')
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(to_markdown(results) + '\n')
    console = Console()
    for table in make_tables(results):
        console.print(table)
    for note in make_notes(results):
        console.print(note, highlight=False)


if __name__ == '__main__':
    main()
