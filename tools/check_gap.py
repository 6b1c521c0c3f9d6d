# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure how the target differs from the source, before training.

    python tools/check_gap.py CONFIG CHECKPOINT

compares both domains through a source-only network, tries remedies that need
no training, and recommends whether to adapt.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from command_line import output_folder
from decisions.frozen import add_arguments, open_config
from decisions.held_out import labelled_target, roles_of
from gap.checks import (
    ABSENCE,
    PRIOR,
    SCALE,
    Finding,
    Prior,
    check,
    estimate_priors,
    factors,
    proven_classes,
    proven_estimate,
    proven_prior,
)
from gap.observe import Observed, observe
from gap.page import page
from gap.prior import calibration_error, softmax
from gap.remedies import Tried, try_remedies
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from rich.console import Console
from rich.table import Table

from mmseg_cag.analysis.runs.labeling_network import (
    LabelingNetwork,
    build_labeling_network,
)
from mmseg_cag.analysis.runs.network import build_preprocessor, read_state
from mmseg_cag.analysis.runs.samples import (
    Sample,
    build_dataset,
    read_samples,
    source_dataset,
)
from mmseg_cag.datasets.dataset_configs import class_info, spread
from mmseg_cag.datasets.roles import indices_of
from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.fileio.json_file import write_json
from mmseg_cag.progress import track
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

# legend: K classes, B bins

ENOUGH = 'source-only is enough'
CORRECT = 'correct the prior'
ADAPT = 'adapt'
LABEL = 'label'
ESTIMATES = ('source', 'em', 'black_box', 'shrunk')  # of the class prior
FALLEN = 0.5  # margin, as a share of the source's, below which labels fail


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument(
        '--images', type=int, default=160, help='images per domain'
    )
    parser.add_argument(
        '--roles', help='roles file; remedies are scored on its choose labels'
    )
    parser.add_argument(
        '--out',
        type=output_folder,
        default='work_dirs/gap',
        help='folder for gap.html and gap.json; these are replaced',
    )
    args = parser.parse_args()
    if args.images < 8:
        parser.error(f'--images {args.images}: expected 8 or more')
    return args


def look(
    network: LabelingNetwork, cfg: Config, domain: str, samples: list[Sample]
) -> list[Observed]:
    """Run the network on the images of a domain."""
    preprocessor = build_preprocessor(cfg, domain)
    return [
        observe(network, preprocessor, sample)
        for sample in track(samples, f'Look at the {domain}')
    ]


def remedy_samples(
    cfg: Config, path: str | None, target: list[Sample], classes: Sequence[str]
) -> tuple[list[Sample], list[str]]:
    """Choose samples to try remedies on: labels for selection, if any.

    Returns:
        The samples, and the group of each.

    Raises:
        UserError: The labels have other classes or are missing.
    """
    roles = roles_of(cfg, path)
    if not roles or not roles.of('choose'):
        return target, list(map(str, range(len(target))))
    key, part = labelled_target(cfg, roles)
    roles.require_classes(classes, key)
    dataset = build_dataset(part, key)
    images = roles.of('choose')
    indices = indices_of(dataset, images, key)
    groups = [image.group or image.image for image in images]
    return list(read_samples(dataset, indices)), groups


def mean_margin(images: Sequence[Observed]) -> float:
    """Compute the mean of (second - nearest) / second anchor distance."""
    counts = sum(image.margins for image in images)
    middles = (np.arange(len(counts)) + 0.5) / len(counts)
    return float((counts * middles).sum() / counts.sum())


def verdict_of(
    source: Sequence[Observed],
    target: Sequence[Observed],
    findings: Sequence[Finding],
    unknown: Sequence[str],
) -> tuple[str, str]:
    """Return the verdict on two domains and its reason.

    Args:
        source: Images of the source.
        target: Images of the target.
        findings: The differences, root causes first.
        unknown: Classes without a source label.
    """
    fallen = mean_margin(target) / max(mean_margin(source), 1e-9)
    return judge(findings, unknown, fallen)


def classes_without_labels(
    dataset: BaseSegDataset, missing: Sequence[int]
) -> list[int]:
    """Find the classes that no label of the source has.

    Args:
        dataset: The source; read until each class is found.
        missing: Classes that a part of it, or its small maps, did not have.
    """
    left = {*missing}
    samples = read_samples(dataset, list(range(len(dataset))))
    title = 'Look for classes in all source labels'
    for sample in track(samples, title, len(dataset)) if left else ():
        left -= {*sample.truth.unique().tolist()}
        if not left:
            break
    return sorted(left)


def judge(
    findings: Sequence[Finding], unknown: Sequence[str], fallen: float
) -> tuple[str, str]:
    """Return the verdict and its reason.

    Args:
        findings: The differences, root causes first.
        unknown: Classes without a source label.
        fallen: The target's mean margin as a share of the source's.
    """
    proven = [f for f in findings if f.score >= 1]
    if unknown:
        return LABEL, (
            f'No source label has {", ".join(unknown)}: this cannot be '
            'learned without target labels.'
        )
    if not proven:
        return ENOUGH, (
            'The target differs from the source by no more than two sets of '
            'source images do.'
        )
    first = f'First of all: {proven[0].text}.'
    if fallen < FALLEN:
        return LABEL, (
            f'{first} The anchors are {fallen:.0%} as clear as on the source: '
            'few pseudo labels would be right.'
        )
    if all(finding.name in (PRIOR, ABSENCE) for finding in proven):
        return CORRECT, f'{first} Nothing else differs by more than chance.'
    return ADAPT, first


def facts(
    source: Sequence[Observed], target: Sequence[Observed], prior: Prior
) -> dict[str, str]:
    """List further facts beside the findings, in words."""
    logits = np.concatenate([image.logits for image in source])
    truth = np.concatenate([image.truth for image in source])
    scores = np.concatenate([image.logits for image in target])
    confidence = softmax(logits / prior.temperature).max(1)
    right = logits.argmax(1) == truth
    known = truth >= 0
    error = calibration_error(
        softmax(logits).max(1)[known], right[known].astype(float)
    )
    other = softmax(scores / prior.temperature).max(1)
    shifts = [np.mean([i.norms for i in part], 0) for part in (source, target)]
    norms = (
        f'{shifts[0].mean():.2f} on the source, {shifts[1].mean():.2f} on the '
        'target, in standard deviations'
        if shifts[0].size
        else 'the network has none'
    )
    return {
        'calibration error on its training images, before the temperature': (
            f'{error:.1%}'
        ),
        'temperature fitted on its training images': (
            f'{prior.temperature:.2f}'
        ),
        'mean confidence, after the temperature': (
            f'{confidence[known].mean():.1%} on its training images, '
            f'{other.mean():.1%} on the target'
        ),
        'inputs of batch norms': norms,
        'mean margin of the anchors': f'{mean_margin(source):.2f} on the '
        f'source, {mean_margin(target):.2f} on the target',
    }


def analyse(args: argparse.Namespace, cfg: Config) -> dict:
    """Compare the domains and try the remedies; returns all results.

    Raises:
        UserError: The config has no source or target, or another network.
    """
    classes = list(class_info(cfg)['classes'])
    state = read_state(args.checkpoint)
    source_set = source_dataset(cfg)
    target_set = build_dataset(target_images(cfg), 'the target')
    network = build_labeling_network(
        cfg, state, args.checkpoint, args.images, with_margin=False
    )
    samples = [
        list(read_samples(part, spread(part, args.images)))
        for part in (source_set, target_set)
    ]
    source = look(network, cfg, 'source', samples[0])
    target = look(network, cfg, 'target', samples[1])
    prior = estimate_priors(source, target)
    findings = check(source, target, classes, prior)
    [scale] = [f for f in findings if f.name == SCALE]
    tried = try_remedies(
        network.model,
        build_preprocessor(cfg, 'target'),
        *remedy_samples(cfg, args.roles, samples[1], classes),
        (prior.source, proven_prior(source, target, prior)),
        proven_estimate(proven_classes(source, target, prior), classes),
        float(np.exp(-scale.value)) if scale.score >= 1 else 1.0,
    )
    missing = np.flatnonzero(prior.source == 0).tolist()
    unknown = [classes[k] for k in classes_without_labels(source_set, missing)]
    verdict, why = verdict_of(source, target, findings, unknown)
    histograms = [
        sum(image.margins for image in part) for part in (source, target)
    ]
    return {
        'verdict': verdict,
        'why': why,
        'findings': [finding._asdict() for finding in findings],
        'remedies': [one._asdict() for one in tried],
        'facts': facts(source, target, prior),
        'prior': {
            name: dict(
                source=float(prior.source[k]),
                em=float(prior.em[k]),
                black_box=float(prior.black_box[k]),
                shrunk=float(prior.shrunk[k]),
                factor=float(factors(prior)[k]),
            )
            for k, name in enumerate(classes)
        },
        'margins': [(h / h.sum()).tolist() for h in histograms],
    }


def tables(found: dict) -> list[tuple[str, list, list]]:
    """Arrange the results as tables: title, heads and rows."""
    remedies = [Tried(**one) for one in found['remedies']]
    labelled = any(one.gain for one in remedies)
    quality = (
        'mIoU gained, at the resolution of the scores'
        if labelled
        else 'mean entropy (no proof)'
    )
    rows = [
        (one.name, f'{one.changed:.1%}', _quality(one)) for one in remedies
    ]
    share = '{:.2%}'.format
    return [
        (
            'What differs',
            ['what', 'by', 'times chance'],
            [
                (f['name'], f['text'], f'{f["score"]:.1f}')
                for f in found['findings']
            ],
        ),
        (
            'Remedies on the frozen network',
            ['remedy', 'pixels changed', quality],
            rows,
        ),
        ('Beside', ['what', ''], list(found['facts'].items())),
        (
            'Class prior; temperature and confusion on its training images',
            ['class', 'source', 'target by EM', 'by black box', 'shrunk'],
            [
                (name, *(share(p[k]) for k in ESTIMATES))
                for name, p in found['prior'].items()
            ],
        ),
    ]


def _quality(one: Tried) -> str:
    if one.gain is None:
        return f'{one.entropy:.2f}'
    return '{:+.1f} [{:+.1f}, {:+.1f}]'.format(*one.gain)


def main() -> None:
    """Compare, print and write."""
    args = parse_args()
    cfg = open_config(args)
    with exit_on_user_error():
        found = analyse(args, cfg)
    shown = tables(found)
    for title, heads, rows in shown[:3]:
        table = Table(*heads, title=title)
        for row in rows:
            table.add_row(*row)
        Console(markup=False).print(table)
    print(f'Verdict: {found["verdict"]}. {found["why"]}')
    bins = zip(*found['margins'], strict=True)
    step = 1 / len(found['margins'][0])
    histogram = (
        'Margins of the anchors (above the source, below the target)',
        ['from', 'share'],
        [(f'{i * step:.2f}', pair) for i, pair in enumerate(bins)],
    )
    write_json(args.out / 'gap.json', found)
    text = page(found['verdict'], found['why'], [*shown, histogram])
    (args.out / 'gap.html').write_text(text, encoding='utf-8')
    print(f'{args.out / "gap.html"} written')


if __name__ == '__main__':
    main()
