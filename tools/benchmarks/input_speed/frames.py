# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmseg_cag.minitown.town import draw_minitown


@dataclass
class FrameSet:
    """Files of one kind.

    Attributes:
        images: Paths of the images.
        labels: Path of each one's label; empty without labels.
    """

    images: list[Path]
    labels: list[Path]

    def sample(self, index: int) -> dict:
        """Return a dataset's input to its pipeline; indices wrap around."""
        index %= len(self.images)
        results = dict(
            img_path=str(self.images[index]),
            seg_fields=[],
            reduce_zero_label=False,
        )
        if self.labels:
            results['seg_map_path'] = str(self.labels[index])
        return results

    def megabytes(self) -> float:
        """Return the mean size of an image file."""
        sizes = [path.stat().st_size for path in self.images]
        return sum(sizes) / len(sizes) / 1e6


def draw_frames(
    root: Path, count: int, source: tuple[int, int], target: tuple[int, int]
) -> dict[str, FrameSet]:
    """Draw minitown's streets at full size, in the published formats.

    PNG decoding speed depends on the encoder's filters, which are unknown for
    the published files: the source is written twice, by OpenCV (one filter)
    and by Pillow (all filters).

    Args:
        root: Folder for the files.
        count: Images of each kind.
        source: Height and width of the source, in pixels.
        target: Height and width of the target.

    Returns:
        The kinds by name.
    """
    for name, size in (('source', source), ('target', target)):
        counts = dict(source=1, target=1, val=1, synthia=1) | {name: count}
        draw_minitown(root / name, size=size, seed=0, workers=1, **counts)
    images = sorted((root / 'source/gta/images').iterdir())
    labels = sorted((root / 'source/gta/labels').iterdir())
    encoded = [root / 'pillow' / path.name for path in images]
    for old, new in zip(images, encoded, strict=True):
        new.parent.mkdir(exist_ok=True)
        with Image.open(old) as image:
            image.save(new)
    city = (root / 'target/cityscapes/leftImg8bit/train').rglob('*.png')
    return {
        'source, one filter': FrameSet(images, labels),
        'source, all filters': FrameSet(encoded, labels),
        'target': FrameSet(sorted(city), []),
    }
