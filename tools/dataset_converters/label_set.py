# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert label files to train ids, each one atomically."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmseg_cag.datasets.label_formats import WRITTEN_SUFFIX
from mmseg_cag.datasets.transforms.loading import LoadLabelIds
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.images import is_hidden, open_image
from mmseg_cag.fileio.json_file import parse_json
from mmseg_cag.stack import core_count, process_context
from mmseg_cag.workflows.output_folder import ensure_within

# legend: H W image

BAND = 2**20  # pixels counted at once
# The PNG text chunk that records the source of an output.
RECORD = 'mmseg_cag'
PNG_END = b'\x00\x00\x00\x00IEND\xaeB`\x82'


@dataclass
class Conversion:
    """Result of converting a set of label files.

    Attributes:
        pixels: Pixels by train id, over all converted files.
        written: Number of files written.
        kept: Number of files kept from an earlier run.
        failures: One line per file that could not be converted.
    """

    pixels: Counter = field(default_factory=Counter)
    written: int = 0
    kept: int = 0
    failures: list[str] = field(default_factory=list)


def convert_labels(
    root: Path,
    out: Path,
    ids: str,
    suffix: str,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Convert all label files of a folder to train ids.

    A failed file is recorded and the others are still converted. Finished
    files are kept, unless their source has changed since.

    Args:
        root: Folder of the label files.
        out: Folder to write into, at the same relative paths.
        ids: Format of the label files, as `LoadLabelIds` knows it.
        suffix: Suffix of the label files' names; the rest of a name is kept.
        workers: Number of processes; one per available core if None.
        progress: Called with the number of files done and their total.

    Raises:
        MissingFileError: The folder does not exist.
        UserError: It contains no label files, or a process was killed.
    """
    if not root.is_dir():
        raise MissingFileError(f'{root}: no such folder of label files')
    sources, failures = _find(root, suffix)
    if not sources and not failures:
        raise UserError(f'{root}: no label file, expected files *{suffix}')
    result = Conversion(failures=failures)
    convert = partial(_convert, root, out, LoadLabelIds(ids), suffix)
    workers = workers or core_count()
    # The files are already split over processes; threads would only compete.
    with ProcessPoolExecutor(workers, process_context(), _one_thread) as pool:
        try:
            outcomes = pool.map(convert, sources, chunksize=8)
            for done, outcome in enumerate(outcomes, start=1):
                _add(result, outcome)
                if progress:
                    progress(done, len(sources))
        except BrokenProcessPool as error:
            raise UserError(
                f'{root}: a converter process was killed; run the command '
                'again to resume'
            ) from error
    return result


def _one_thread() -> None:
    cv2.setNumThreads(0)


def _find(root: Path, suffix: str) -> tuple[list[Path], list[str]]:
    """Find the label files; linked folders are reported as failures."""
    sources, failures = [], []
    for folder, folders, files in os.walk(root):
        for name in folders:
            if Path(folder, name).is_symlink():
                failures.append(
                    f'{Path(folder, name)}: is a symlink, expected a folder'
                )
        sources += [
            Path(folder, name)
            for name in files
            if name.endswith(suffix)
            and not name.endswith(WRITTEN_SUFFIX)
            and not is_hidden(Path(folder, name).relative_to(root))
        ]
    return sorted(sources), sorted(failures)


def _convert(
    root: Path, out: Path, loader: LoadLabelIds, suffix: str, source: Path
) -> tuple[dict[int, int], bool] | str:
    """Convert one file; returns the reason if it fails."""
    relative = str(source.relative_to(root))
    target = out / (relative.removesuffix(suffix) + WRITTEN_SUFFIX)
    try:
        ensure_within(source, root)
        ensure_within(target.parent, out)
        return convert_file(loader, source, target)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f'{source}: cannot be converted ({error})'


def _add(result: Conversion, outcome: tuple[dict, bool] | str) -> None:
    if isinstance(outcome, str):
        result.failures.append(outcome)
        return
    pixels, written = outcome
    result.pixels.update(pixels)
    result.written += written
    result.kept += not written


def convert_file(
    loader: LoadLabelIds, source: Path, target: Path
) -> tuple[dict[int, int], bool]:
    """Convert a label file to train ids, unless done before.

    Args:
        loader: Reads the source.
        source: A label file of raw ids.
        target: The file of train ids, 8-bit grey.

    Returns:
        Pixels by train id, and whether the file was written just now.

    Raises:
        UserError: The source is no label file, or the target is not ours.
        OSError: A file cannot be read or written.
    """
    status = source.stat()
    origin = {
        'ids': loader.ids,
        'bytes': status.st_size,
        'changed_ns': status.st_mtime_ns,
    }
    record = _read_record(target)
    if record and record.get('origin') == origin:
        return _as_counts(record['pixels']), False
    ids = loader.read_ids(str(source))
    labels = loader.map_ids(ids, str(source))
    pixels = count_labels(labels)
    _write(target, labels, {'origin': origin, 'pixels': pixels})
    return pixels, True


def count_labels(labels: np.ndarray) -> dict[int, int]:
    """Count the pixels of each label (H, W) uint8, band by band.

    Bands save memory: numpy widens its input to 8 bytes a pixel.
    """
    bands = np.array_split(labels, labels.size // BAND + 1)
    counts = sum(np.bincount(b.ravel(), minlength=2**8) for b in bands)
    return {label: n for label, n in enumerate(counts.tolist()) if n}


def _write(target: Path, labels: np.ndarray, record: dict) -> None:
    """Save train ids (H, W) beside the target, then rename."""
    text = PngInfo()
    text.add_text(RECORD, json.dumps(record))
    with atomic_path(target) as draft:
        Image.fromarray(labels).save(draft, 'PNG', pnginfo=text)


def _read_record(target: Path) -> dict | None:
    """Read the record of a complete output; None if there is none.

    Raises:
        UserError: Another program wrote the file.
    """
    if target.is_symlink():
        raise UserError(f'{target}: is a symlink, expected a file or nothing')
    if not target.exists():
        return None
    try:
        with open_image(target) as image:
            text = image.info.get(RECORD)
    except (OSError, SyntaxError):  # no image, so nobody's labels
        return None
    if text is None:
        raise UserError(
            f'{target}: was not written by this converter and is left '
            'unchanged: remove it, or choose another --out-dir'
        )
    if not _ends(target):
        return None
    record = parse_json(text, target)
    pixels = record.get('pixels')
    if not isinstance(pixels, dict) or not all(
        train_id.isdecimal() and isinstance(count, int)
        for train_id, count in pixels.items()
    ):
        raise UserError(f'{target}: its record has no pixel counts, remove it')
    return record


def _ends(path: Path) -> bool:
    """Check that a PNG was written to its end."""
    with path.open('rb') as file:
        file.seek(-min(len(PNG_END), path.stat().st_size), os.SEEK_END)
        return file.read() == PNG_END


def _as_counts(pixels: dict[str, int]) -> dict[int, int]:
    return {int(train_id): count for train_id, count in pixels.items()}
