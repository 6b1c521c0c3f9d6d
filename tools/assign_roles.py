# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Assign the roles train, choose and certify to labelled target images.

python tools/assign_roles.py CONFIG OUT --train 10 --choose 20 --certify 40

draws labelled images at random and writes the file OUT. With the same seed and
the same labelled images, more training images leave those of the other roles
as they are, and a smaller draw is a prefix of a larger one. With --keep,
images keep their roles of another file, whatever has a label since. With
--images, the training images are the first ones of a list, and the other roles
get none of it. With --group, a role takes all images of a group before those
of the next.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from command_line import expression
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config with the labelled target')
    parser.add_argument('out', type=Path, help='output file')
    for role in ('train', 'choose', 'certify'):
        parser.add_argument(f'--{role}', type=int, default=0, metavar='N')
    parser.add_argument('--images', type=Path, help='list of training images')
    parser.add_argument(
        '--keep',
        type=Path,
        metavar='OLD',
        help='roles file whose images keep their roles; the numbers include '
        'these',
    )
    parser.add_argument(
        '--dataset',
        default='target_labelled',
        metavar='KEY',
        help='config key of the dataset (default: target_labelled)',
    )
    parser.add_argument(
        '--group',
        type=expression,
        help="regular expression for an image's group, such as its drive, in "
        'its name; a group has one role',
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for role in ('train', 'choose', 'certify'):
        if (number := getattr(args, role)) < 0:
            parser.error(f'--{role} {number}: expected 0 or more')
    return args


def build(cfg: Config, key: str) -> BaseSegDataset:
    """Build the labelled target dataset.

    Raises:
        UserError: The config has no such dataset, or it has several parts.
    """
    from mmengine.registry import init_default_scope

    from mmseg_cag.analysis.runs.samples import build_dataset
    from mmseg_cag.errors import UserError

    init_default_scope(cfg.get('default_scope', 'mmseg'))
    part = cfg
    for name in key.split('.'):
        part = part.get(name) if isinstance(part, dict | Config) else None
    if not part:
        raise UserError(
            f'{key}: not in the config, expected the labelled images of the '
            'target; select another key by --dataset'
        )
    dataset = build_dataset(part, key)
    if not isinstance(dataset, BaseSegDataset):
        raise UserError(
            f'{key}: is a {type(dataset).__name__}, expected a single data '
            'set, such as one of the parent folder'
        )
    return dataset


def listed(path: Path, names: Sequence[str]) -> list[int]:
    """Find the images of a list by the ends of their paths.

    Raises:
        MissingFileError: There is no such list.
        UserError: It is empty, or a line matches no target image or several.
    """
    from mmseg_cag.errors import MissingFileError, UserError

    if not path.is_file():
        raise MissingFileError(f'{path}: not found, expected a list of images')
    found = []
    # In a file that is no text, no line matches.
    text = path.read_text(encoding='utf-8', errors='replace')
    for line in filter(None, text.splitlines()):
        same = [
            i
            for i, name in enumerate(names)
            if f'/{name}'.endswith(f'/{line}')
        ]
        if len(same) != 1:
            raise UserError(
                f'{path}: {line[:80]} matches {len(same)} target images, '
                'expected one'
            )
        found += same
    if not found:
        raise UserError(f'{path}: is empty, expected an image per line')
    return found


def kept_roles(
    args: argparse.Namespace, dataset: BaseSegDataset
) -> dict[str, list[int]]:
    """Find the images that keep a role, by role.

    Raises:
        MissingFileError: There is no such file.
        UserError: It has other classes or groups, or an image that is not in
            the dataset or has changed.
    """
    from mmseg_cag.datasets.roles import indices_of, read_roles
    from mmseg_cag.errors import UserError

    if not args.keep:
        return {}
    old = read_roles(args.keep)
    old.require_classes(dataset.metainfo['classes'], args.dataset)
    if old.group != (args.group or ''):
        raise UserError(
            f'--group {args.group or "none"}: expected '
            f'{old.group or "none"}, that of {args.keep}'
        )
    return {
        role: indices_of(dataset, images, args.dataset)
        for role, images in old.images.items()
    }


def require_free(
    names: Sequence[str],
    groups: Sequence[str],
    first: Sequence[int],
    kept: Mapping[str, Sequence[int]],
) -> None:
    """Check that no image of a list keeps another role than train.

    Raises:
        UserError: One does, or another image of its group.
    """
    from mmseg_cag.errors import UserError

    role_of = {groups[i]: role for role, own in kept.items() for i in own}
    for image in first:
        if (role := role_of.get(groups[image], 'train')) != 'train':
            raise UserError(
                f'--images: {names[image]}, or its group, has the role {role}'
                ', expected a list of training images'
            )


def shuffle(
    groups: Sequence[str], labelled: Sequence[int], seed: int
) -> list[int]:
    """Shuffle the groups of images, and the images of each group.

    Args:
        groups: The group of each image.
        labelled: The images to shuffle.
        seed: Random seed.

    Returns:
        The images, one group after another.
    """
    random = np.random.default_rng(seed)
    names = [*dict.fromkeys(groups[i] for i in labelled)]
    place_of = {
        names[k]: at for at, k in enumerate(random.permutation(len(names)))
    }
    images = random.permutation(labelled).tolist()
    return sorted(images, key=lambda image: place_of[groups[image]])


def draw(
    groups: Sequence[str],
    labelled: Sequence[int],
    counts: dict[str, int],
    first: list[int],
    seed: int,
    kept: Mapping[str, list[int]] = MappingProxyType({}),
) -> dict[str, list[int]]:
    """Draw the images of each role; no group gets two roles.

    Args:
        groups: The group of each image; its own name where it has none.
        labelled: The images with a label.
        counts: Number of images of each role.
        first: Candidates for training, in order, instead of drawn ones.
        seed: Random seed.
        kept: Images that have a role; they come first in it.

    Raises:
        UserError: There are too few images, or more are kept.
    """
    from mmseg_cag.errors import UserError

    role_of = {groups[i]: role for role, own in kept.items() for i in own}
    order = shuffle(groups, labelled, seed)
    # The groups that a role has come before others.
    order.sort(key=lambda i: groups[i] not in role_of)
    drawn: dict[str, list[int]] = {role: [] for role in counts}
    # The whole list is for training, however many of its images are.
    taken = {groups[i]: 'train' for i in first} | role_of
    # Training images last: more of them must not come from other roles.
    for role in reversed(counts):
        new = [i for i in order if taken.get(groups[i], role) == role]
        left = 'labelled images are left in groups without another role'
        if first and role == 'train':
            new, left = first, 'images are listed or kept'
        old = kept.get(role, [])
        own = [*old, *(i for i in new if i not in old)]
        count = counts[role]
        if len(old) > count:
            raise UserError(
                f'--{role} {count}: {len(old)} images keep that role, '
                'expected at least that'
            )
        if len(own) < count:
            raise UserError(
                f'--{role} {count}: {len(own)} {left}, expected at most that'
            )
        drawn[role] = own[:count]
        taken |= {groups[i]: role for i in drawn[role]}
    return drawn


def main() -> None:
    """Draw and write the roles."""
    args = parse_args()
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.datasets.roles import (
        ROLES,
        Roles,
        has_label,
        image_name,
        labelled_images,
        write_roles,
    )
    from mmseg_cag.errors import UserError, exit_on_user_error
    from mmseg_cag.launch.cfg_options import load_or_exit

    cfg = load_or_exit(args.config)
    with exit_on_user_error():
        dataset = build(cfg, args.dataset)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        names = [image_name(dataset, info['img_path']) for info in infos]
        labelled = [
            i for i, info in enumerate(infos) if has_label(dataset, info)
        ]

        def group_of(name: str) -> str:
            found = re.search(args.group, name) if args.group else None
            return found[0] if found else ''

        first = listed(args.images, names) if args.images else []
        kept = kept_roles(args, dataset)
        counts = {role: getattr(args, role) for role in ROLES}
        if first and not args.train:
            counts['train'] = len({*first, *kept.get('train', ())})
        groups = [group_of(name) or name for name in names]
        require_free(names, groups, first, kept)
        for name in (names[i] for i in labelled if args.group):
            if not group_of(name):
                raise UserError(
                    f'{name}: --group {args.group} does not match it, '
                    'expected an expression that finds the group of every '
                    'image with a label'
                )
        drawn = draw(groups, labelled, counts, first, args.seed, kept)
        images = {
            role: labelled_images(dataset, own, group_of)
            for role, own in drawn.items()
        }
        classes = tuple(dataset.metainfo['classes'])
        roles = Roles(classes, images, str(args.out), args.group or '')
        write_roles(args.out, roles)
    told = []
    for role, own in drawn.items():
        number = len({groups[i] for i in own})
        told.append(f'{len(own)} to {role}')
        if args.group:
            told[-1] += f' (groups: {number})'
    print(
        f'{args.out}: {", ".join(told)}; {len(labelled)} of {len(names)} '
        'images have a label'
    )


if __name__ == '__main__':
    main()
