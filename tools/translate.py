# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Translate all source images with a trained translator.

python tools/translate.py CONFIG CHECKPOINT OUT

writes each image of the config's translate_dataloader under its own name, and
their provenance into OUT/translated_images.json. Distributed:
tools/dist_translate.sh.
"""

from __future__ import annotations

import argparse

from command_line import add_run_options, load_run


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('out', help='output folder of the translated images')
    parser.add_argument(
        '--batch-size',
        type=int,
        help="batch size, instead of the config's",
    )
    add_run_options(parser)
    args = parser.parse_args()
    if args.batch_size is not None and args.batch_size < 1:
        raise SystemExit('error: --batch-size: expected 1 or more')
    return args


def main() -> None:
    """Translate the images and print their number."""
    args = parse_args()
    cfg = load_run(args)
    # Imported after the config, which may select modules.
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.errors import exit_on_user_error
    from mmseg_cag.workflows.translate import translate_images

    init_default_scope(cfg.get('default_scope', 'mmseg'))
    with exit_on_user_error():
        use_gloo_without_gpu(cfg)
        note = translate_images(
            cfg, args.checkpoint, args.out, args.batch_size
        )
    if is_main_process():
        sizes = ', '.join(f'{n} of {s}' for s, n in note['sizes'].items())
        print(f'{args.out}: {note["images"]} images, {sizes}')


if __name__ == '__main__':
    main()
