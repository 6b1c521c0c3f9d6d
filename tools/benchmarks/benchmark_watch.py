# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Test the watch on synthetic streams: false alarms and planted shifts.

python tools/benchmarks/benchmark_watch.py student.onnx

The network is a minitown network exported with --card. Its card is made again,
from a synthetic target stream.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path

from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.minitown.stream import Change, balloon, fog, night, stream
from mmseg_cag.minitown.styles import CAMERA, GAME, RENDERED, TownStyle
from mmseg_cag.watch.card import Card, make_card
from mmseg_cag.watch.frame import Frame
from mmseg_cag.watch.network import WatchedNetwork
from mmseg_cag.watch.watch import Judge

# By name: the town and the change to its frames.
SHIFTS: dict[str, tuple[TownStyle, Change | None]] = {
    'night': (CAMERA, night),
    'fog': (CAMERA, fog),
    'balloon': (CAMERA, balloon),
    'game': (GAME, None),
    'rendered': (RENDERED, None),
}
SEEN = 60  # frames of a shift


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('network', type=Path)
    parser.add_argument('--card-frames', type=int, default=4000)
    parser.add_argument('--frames', type=int, default=10_000)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, help='output file, *.json')
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse_args()
    with exit_on_user_error():
        found = check(args)
    text = json.dumps(found, indent=1)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + '\n')


def check(args: argparse.Namespace) -> dict:
    """Make a card, count false alarms, and time the shifts."""
    network = WatchedNetwork(args.network, threads=1)
    if None in network.size:
        raise UserError(
            f'{args.network}: takes frames of any size, expected a network '
            'that was exported without --any-size'
        )
    frames, _ = look(network, CAMERA, None, 1, args.card_frames)
    card = make_card(frames, network.fingerprint, network.classes, None, True)
    unchanged, speed = look(network, CAMERA, None, 2, args.frames)
    found = {
        'frames_a_second': round(speed, 1),
        'correlation': card.correlation,
        'frames': len(unchanged),
        'false_alarms': count_alarms(card, unchanged),
        'highest_evidence': highest_evidence(card, unchanged),
        'frames_until_alarm': {},
    }
    for number, (name, (style, change)) in enumerate(SHIFTS.items(), 1):
        found['frames_until_alarm'][name] = delays = []
        for repeat in range(args.repeats):
            seed = 100 * number + repeat
            shifted, _ = look(network, style, change, seed, SEEN)
            start = repeat * len(unchanged) // args.repeats
            before = unchanged[start : start + 10 * card.correlation]
            delays.append(delay(card, before, shifted))
    return found


def look(
    network: WatchedNetwork,
    style: TownStyle,
    change: Change | None,
    seed: int,
    count: int,
) -> tuple[list[Frame], float]:
    """Draw frames and run the network; also returns its frames per second."""
    seen, seconds = [], 0.0
    for image in islice(stream(style, network.size, seed, change), count):
        start = time.perf_counter()
        seen.append(network.look(image[..., ::-1]))
        seconds += time.perf_counter() - start
    return seen, count / seconds


def count_alarms(card: Card, frames: list[Frame]) -> int:
    """Count the alarms of a stream."""
    judge = Judge(card)
    return sum(len(judge.look(frame).alarms) for frame in frames)


def highest_evidence(card: Card, frames: list[Frame]) -> dict[str, float]:
    """Compute each score's peak evidence, as a share of the alarm limit."""
    judge = Judge(card)
    highest = dict.fromkeys(judge.detectors, 0.0)
    for frame in frames:
        judge.look(frame)
        for name, detector in judge.detectors.items():
            share = detector.evidence / detector.limit
            highest[name] = max(highest[name], share)
    return {name: round(share, 2) for name, share in highest.items()}


def delay(
    card: Card, before: list[Frame], shifted: list[Frame]
) -> dict[str, int]:
    """Count frames from the start of a shift until each score's alarm."""
    judge = Judge(card)
    for frame in before:
        judge.look(frame)
    found: dict[str, int] = {}
    for number, frame in enumerate(shifted, 1):
        for name in judge.look(frame).alarms:
            found.setdefault(name, number)
    return found


if __name__ == '__main__':
    main()
