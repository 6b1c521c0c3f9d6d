# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Choose the target images most worth labelling, and pre-label them.

    python tools/select_images.py CONFIG CHECKPOINT -n 20

writes a list, an HTML page and pre-labels in three formats. Read the corrected
labels back by

    python tools/select_images.py CONFIG --read FILE --out FOLDER
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from decisions.frozen import add_arguments, open_config
from decisions.held_out import roles_of
from decisions.near_duplicates import thumbnails, warn_of_held
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image
from selection.forms import (
    mask_codec,
    read_labels,
    write_coco,
    write_cvat,
    write_png,
)
from selection.look import VOID, look_at, prelabel
from selection.rank import WAYS, anchor_scores, choose
from selection.sheet import contact_sheet

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import read_state
from mmseg_cag.analysis.runs.samples import build_dataset, read_samples
from mmseg_cag.datasets.dataset_configs import class_info, leaves, spread
from mmseg_cag.datasets.roles import ROLES, Roles, image_name
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.images import read_image
from mmseg_cag.fileio.json_file import write_json
from mmseg_cag.workflows.output_folder import ensure_within
from mmseg_cag.workflows.pseudo_labels.target_images import (
    label_names,
    target_images,
)

ANCHOR_IMAGES = 100  # source images to compute anchors, if needed


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, needs_checkpoint=False)
    parser.add_argument(
        '-n', '--number', type=int, default=20, help='images to choose'
    )
    parser.add_argument(
        '--by', choices=WAYS, default='anchors', help='selection method'
    )
    parser.add_argument(
        '--images',
        type=int,
        default=1000,
        help='candidate images, evenly spaced',
    )
    parser.add_argument('--seed', type=int, default=0, help='of --by random')
    parser.add_argument(
        '--roles', help='roles file, whose images are left out'
    )
    parser.add_argument(
        '--read', type=Path, help='corrected labels: a folder, *.json or *.xml'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/to_label'),
        help='output folder; must not exist',
    )
    args = parser.parse_args()
    for name in ('number', 'images'):
        if getattr(args, name) < 1:
            parser.error(f'--{name}: expected 1 or more')
    if (args.checkpoint is None) == (args.read is None):
        parser.error('expected either CHECKPOINT or --read FILE')
    return args


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, renamed when complete.

    Raises:
        UserError: The folder already exists.
    """
    if path.exists():
        raise UserError(f'{path}: already exists, expected a new folder')
    draft = path.with_name(f'{path.name}.part')
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed run
    draft.mkdir(parents=True)
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft)
        raise


def unlabelled(
    dataset: BaseSegDataset, args: argparse.Namespace, roles: Roles
) -> list[int]:
    """Choose the candidate images: those without a role.

    Nor have others of their group the role choose or certify.

    Raises:
        UserError: There are fewer than requested.
    """
    infos = map(dataset.get_data_info, range(len(dataset)))
    names = [image_name(dataset, info['img_path']) for info in infos]
    train, *others = ROLES
    known = {one.image for one in roles.of(train)}
    is_held = roles.holds(*others)
    free = [
        index
        for index, name in enumerate(names)
        if name not in known and not is_held(name)
    ]
    if len(free) < args.number:
        raise UserError(
            f'-n {args.number}: the target has {len(free)} images without a '
            'role, expected at most that'
        )
    return [free[i] for i in spread(free, max(args.images, args.number))]


def select(args: argparse.Namespace, cfg: Config) -> list[str]:
    """Choose images and write all results.

    Returns:
        Their names, best first.

    Raises:
        UserError: There are too few, or the network has no anchors.
    """
    mask_codec()  # check early: needed only at the end
    info = class_info(cfg)
    dataset = build_dataset(target_images(cfg), 'the target')
    roles = roles_of(cfg, args.roles) or Roles((), {})
    indices = unlabelled(dataset, args, roles)
    paths = [dataset.get_data_info(i)['img_path'] for i in indices]
    for path in paths:
        # Lists and forms are in UTF-8.
        if any('\ud800' <= letter <= '\udfff' for letter in path):
            raise UserError(f'{path!a}: the name is not in UTF-8, rename it')
    with new_folder(args.out) as folder:
        network = build_labeling_network(
            cfg, read_state(args.checkpoint), args.checkpoint, ANCHOR_IMAGES
        )
        looks = look_at(network, cfg, dataset, indices)
        seen = thumbnails(paths, dataset.backend_args)
        chosen = choose(looks, seen, args.number, args.by, args.seed)
        if len(chosen) < args.number:
            raise UserError(
                f'-n {args.number}: {len(chosen)} of {len(indices)} images '
                'are distinct, expected at most that'
            )
        [(_, _, whole)] = leaves(target_images(cfg), 'the target')
        whole = DATASETS.build(whole)
        warn_of_held([paths[i] for i in chosen], whole, roles)
        root = dataset.data_prefix['img_path'].rstrip('/') + '/'
        names = [paths[i].removeprefix(root) for i in chosen]
        samples = read_samples(dataset, [indices[i] for i in chosen])
        labels = {
            name: prelabel(network, cfg, sample)
            for name, sample in zip(names, samples, strict=True)
        }
        scores = anchor_scores(looks)
        notes = {name: note(labels[name], info['classes']) for name in names}
        (folder / 'images.txt').write_text('\n'.join(names) + '\n')
        write_json(
            folder / 'selection.json',
            {
                'by': args.by,
                'looked_at': len(indices),
                'images': [
                    {
                        'image': name,
                        'anchor_score': round(float(scores[i]), 4),
                        'entropy': round(float(looks.entropy[i]), 4),
                    }
                    for name, i in zip(names, chosen, strict=True)
                ],
            },
        )
        write_forms(folder, labels, info)
        pictures = {
            name: (read_image(paths[i], dataset.backend_args), labels[name])
            for name, i in zip(names, chosen, strict=True)
        }
        title = f'{len(names)} images to label, by {args.by}'
        (folder / 'index.html').write_text(
            contact_sheet(title, pictures, notes, **info), encoding='utf-8'
        )
    return names


def note(label: np.ndarray, classes: list[str], shown: int = 4) -> str:
    """Describe a pre-label (H, W): its unsure share and main classes."""
    known, counts = np.unique(label[label != VOID], return_counts=True)
    order = np.argsort(-counts)[:shown]
    parts = [
        f'{classes[known[i]]} {counts[i] / label.size:.0%}' for i in order
    ]
    return ', '.join([f'{(label == VOID).mean():.0%} unsure', *parts])


def write_forms(folder: Path, labels: dict, info: dict) -> None:
    """Write pre-labels as PNG, in COCO format and for CVAT."""
    write_png(folder / 'png', labels, **info)
    write_coco(folder / 'coco.json', labels, info['classes'])
    write_cvat(folder / 'cvat.xml', labels, **info)


def read_back(args: argparse.Namespace, cfg: Config) -> list[str]:
    """Write corrected labels as PNGs of train ids, named after their images.

    Images without a labelled pixel are left out. Images with a role belong to
    the target, too: their labels may be corrected again.

    Raises:
        UserError: Their classes, images or sizes do not match.
    """
    [(_, _, whole)] = leaves(target_images(cfg), 'the target')
    dataset = build_dataset(whole, 'the target')
    root = dataset.data_prefix['img_path'].rstrip('/') + '/'
    files = label_names(dataset)
    paths = {path.removeprefix(root): path for path in files}
    sizes = Sizes(paths, dataset.backend_args)
    found = read_labels(args.read, class_info(cfg)['classes'], sizes)
    labels = {k: v for k, v in found.items() if (v != VOID).any()}
    if not labels:
        raise UserError(f'{args.read}: has no labelled pixel')
    if void := len(found) - len(labels):
        print(f'{args.read}: {void} without a labelled pixel, left out')
    with new_folder(args.out) as folder:
        for name, label in labels.items():
            path = folder / files[paths[name]]
            ensure_within(path, folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(label).save(path)
    return list(labels)


class Sizes(dict):
    """Height and width of images by name, read lazily.

    Args:
        paths: Their files by name.
        backend_args: Arguments of mmengine's file backend.
    """

    def __init__(
        self, paths: dict[str, str], backend_args: dict | None
    ) -> None:
        super().__init__(paths)
        self.backend_args = backend_args

    def __getitem__(self, name: str) -> tuple[int, int]:
        """Read the size of an image."""
        path = super().__getitem__(name)
        return read_image(path, self.backend_args).shape[:2]


def main() -> None:
    """Choose images, or read corrected labels."""
    args = parse_args()
    cfg = open_config(args)
    with exit_on_user_error():
        names = read_back(args, cfg) if args.read else select(args, cfg)
    done = 'labels read' if args.read else 'images chosen'
    print(f'{args.out}: {len(names)} {done}')


if __name__ == '__main__':
    main()
