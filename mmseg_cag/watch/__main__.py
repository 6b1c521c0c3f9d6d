# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Watch a folder of frames or a video.

python -m mmseg_cag.watch student.onnx FRAMES --out DIR

The domain card is student.card.json by default; ``--make-card`` makes it from
the frames instead.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from mmseg_cag.errors import UserError, exit_on_user_error

from .card import Card, make_card
from .files import open_cv2, read_frames
from .keeper import Keeper
from .network import WatchedNetwork
from .watch import FRAMES_PER_FALSE_ALARM, Look, Watch

MOST = 3  # classes listed by name
# Least value by option.
LEAST = dict(keep=0, frames_per_false_alarm=1, threads=1, correlation=1)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mmseg_cag.watch', description=__doc__.splitlines()[0]
    )
    parser.add_argument('network', type=Path, help='exported with --card')
    parser.add_argument('frames', type=Path, help='folder or video')
    parser.add_argument('--card', type=Path, help='default: NETWORK.card.json')
    parser.add_argument(
        '--out', type=Path, help='folder of watch.jsonl and kept frames'
    )
    parser.add_argument(
        '--keep', type=int, default=50, help='frames worth labelling'
    )
    parser.add_argument(
        '--frames-per-false-alarm',
        type=float,
        default=FRAMES_PER_FALSE_ALARM,
        help='average, at least (default: %(default)s)',
    )
    parser.add_argument('--threads', type=int, help='default: all cores')
    parser.add_argument(
        '--make-card', action='store_true', help='write the card, do not watch'
    )
    parser.add_argument(
        '--stills',
        action='store_true',
        help='with --make-card: the frames are not consecutive',
    )
    parser.add_argument(
        '--correlation',
        type=int,
        help='with --make-card: frames of a stream after which one is '
        'independent (default: measured; needed with --stills)',
    )
    args = parser.parse_args()
    args.card = args.card or args.network.with_suffix('.card.json')
    for name, least in LEAST.items():
        value = getattr(args, name)
        if value is not None and not value >= least:
            option = name.replace('_', '-')
            parser.error(f'--{option}: expected {least} or more')
    if args.stills and not args.correlation:
        parser.error('--stills: expected --correlation as well')
    return args


def main() -> None:
    """Run the command."""
    args = parse_args()
    with exit_on_user_error():
        make(args) if args.make_card else watch(args)


def make(args: argparse.Namespace) -> None:
    """Write the domain card."""
    network = WatchedNetwork(args.network, args.threads)
    frames = read_frames(args.frames, network.size)
    card = make_card(
        (network.look(frame) for frame in frames),
        network.fingerprint,
        network.classes,
        args.correlation,
        not args.stills,
    )
    card.write(args.card)
    print(f'{args.card}: {card.frames} frames, lag {card.correlation}')


def watch(args: argparse.Namespace) -> None:
    """Watch frames; reports new alarms and the classes that changed."""
    card = Card.read(args.card)
    network = WatchedNetwork(args.network, args.threads)
    card.require_network(args.network, args.card)
    watch = Watch(network, card, args.frames_per_false_alarm)
    keeper = Keeper(args.keep, card.correlation)
    seen = np.zeros(len(card.prior))
    alarms = number = 0
    start = time.perf_counter()
    record = None
    for number, frame in enumerate(read_frames(args.frames, network.size), 1):
        look = watch.look(frame)
        seen += np.bincount(look.classes, minlength=len(seen))
        alarms += len(look.alarms)
        for name in look.alarms:
            print(f'frame {number}: alarm, {name} {look.scores[name]:.3f}')
        record = record or open_record(args.out)
        if record:
            record.write(json.dumps(line_of(number, look)) + '\n')
            keep(args.out, keeper, number, look, frame)
    if record:
        record.close()
    seconds = time.perf_counter() - start
    print(f'{number} frames, {number / seconds:.1f} a second, {alarms} alarms')
    print(f'classes that changed most: {describe_shift(card, seen)}')


def open_record(out: Path | None) -> TextIO | None:
    """Open the log of the frames, if requested.

    Raises:
        UserError: The folder has the frames of another watch.
    """
    if out is None:
        return None
    (out / 'kept').mkdir(parents=True, exist_ok=True)
    log = out / 'watch.jsonl'
    if log.exists() or any((out / 'kept').iterdir()):
        raise UserError(
            f'{out}: has the frames of another watch, expected a new folder'
        )
    return log.open('w')


def line_of(number: int, look: Look) -> dict:
    """Format the log line of a frame; JSON has no NaN, but null."""
    scores = {
        name: round(score, 4) if np.isfinite(score) else None
        for name, score in look.scores.items()
    }
    return {'frame': number, **scores, 'alarms': look.alarms}


def keep(
    out: Path, keeper: Keeper, number: int, look: Look, frame: np.ndarray
) -> None:
    """Save a frame worth labelling, replacing less useful ones."""
    is_kept, dropped = keeper.offer(number, look.worth)
    for other in dropped:
        path_of(out, other).unlink(missing_ok=True)
    if is_kept:
        open_cv2().imwrite(str(path_of(out, number)), frame)


def path_of(out: Path, number: int) -> Path:
    """Return the path of a kept frame."""
    return out / 'kept' / f'{number:08d}.png'


def describe_shift(card: Card, seen: np.ndarray) -> str:
    """List the classes whose shares differ most from the prior."""
    shares = seen / max(seen.sum(), 1)
    order = np.argsort(-np.abs(shares - card.prior))[:MOST]
    return ', '.join(
        f'{card.classes[k]} {100 * card.prior[k]:.1f} % -> '
        f'{100 * shares[k]:.1f} %'
        for k in order
    )


if __name__ == '__main__':
    main()
