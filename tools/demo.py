# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Segment images or video: ``python tools/demo.py CHECKPOINT INPUT``.

INPUT is an image, a folder of images or a video. The config is read from the
checkpoint; no code in the checkpoint is executed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'checkpoint', type=Path, help='a run or an exported student'
    )
    parser.add_argument(
        'input', type=Path, nargs='?', help='an image, a folder or a video'
    )
    parser.add_argument(
        '--config',
        type=Path,
        help='a trusted config, if the checkpoint contains none',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='folder of the results (default: work_dirs/demo/RUN/INPUT)',
    )
    parser.add_argument(
        '--opacity', type=float, default=0.5, help='class opacity (0 to 1)'
    )
    parser.add_argument(
        '--side-by-side', action='store_true', help='add the input image'
    )
    parser.add_argument(
        '--gradio', action='store_true', help='open a web page instead'
    )
    parser.add_argument('--host', default='127.0.0.1', help='of the page')
    parser.add_argument('--port', type=int, default=7860, help='of the page')
    args = parser.parse_args()
    if not 0 <= args.opacity <= 1:
        parser.error(f'--opacity {args.opacity}: expected 0 to 1')
    if args.gradio == bool(args.input):
        parser.error('expected either INPUT or --gradio')
    return args


def main() -> None:
    """Run the command."""
    args = parse_args()
    # Video errors are reported once, by our own message.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    from mmseg_cag.errors import exit_on_user_error

    with exit_on_user_error():
        serve(args) if args.gradio else show(args)


def show(args: argparse.Namespace) -> None:
    """Write the predictions for the input."""
    from mmengine.logging import print_log

    from mmseg_cag.inference.demo.network import load_network
    from mmseg_cag.inference.demo.show import View, find_way, show_input

    find_way(args.input)
    model = load_network(args.checkpoint, args.config)
    view = View(model, args.opacity, args.side_by_side)
    run = f'{args.checkpoint.absolute().parent.name}_{args.checkpoint.stem}'
    out = args.out or Path('work_dirs', 'demo', run, args.input.stem)
    written = show_input(args.input, out, args.checkpoint, view)
    print_log(f'{out}: {len(written)} files written', 'current')


def serve(args: argparse.Namespace) -> None:
    """Serve the page until interrupted."""
    from mmseg_cag.inference.demo.network import load_network
    from mmseg_cag.inference.demo.page import build_page

    page = build_page(load_network(args.checkpoint, args.config), args.opacity)
    page.launch(server_name=args.host, server_port=args.port, share=False)


if __name__ == '__main__':
    main()
