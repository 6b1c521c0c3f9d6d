# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from torch.utils.data import Subset

from mmseg_cag.engine.records.provenance import list_changes
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json, write_json
from mmseg_cag.progress import track


class OutputFolder:
    """A folder of files that is written atomically.

    Files are written to ``<path>.part``, which is renamed when complete; an
    interrupted one is resumed. Metadata in it records its origin, and a folder
    of another origin is never touched.

    Args:
        path: The folder.
        origin: All that its files depend on; non-JSON values as text.
    """

    # Name of the metadata file, and the content for messages.
    metadata: str
    content: str

    def __init__(self, path: Path, origin: dict) -> None:
        self.path = path
        self.origin = json.loads(json.dumps(origin, default=str))
        self.draft = path.with_name(f'{path.name}.part')

    def is_complete(self) -> bool:
        """Check whether the files of exactly this origin exist.

        Raises:
            UserError: The folder or its draft has another origin.
        """
        self._is_ours(self.draft)
        if is_there := self._is_ours(self.path):
            print_log(f'{self.path}: complete, reused', 'current')
        return is_there

    def begin(self) -> None:
        """Create the draft, or resume it."""
        if (self.draft / self.metadata).is_file():
            print_log(f'{self.draft}: resumed', 'current')
        self.draft.mkdir(parents=True, exist_ok=True)
        write_json(self.draft / self.metadata, {'origin': self.origin})

    def has(self, name: str) -> bool:
        """Check whether a file is in the draft."""
        return (self.draft / name).is_file()

    def file(self, name: str) -> Path:
        """Return the path of a file in the draft; creates its folder.

        Raises:
            UserError: The name, such as one from a dataset's list, leads out
                of it.
        """
        path = self.draft / name
        ensure_within(path, self.draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, results: dict) -> None:
        """Write the results' metadata and rename the draft."""
        write_json(
            self.draft / self.metadata, {'origin': self.origin, **results}
        )
        os.replace(self.draft, self.path)

    def _is_ours(self, folder: Path) -> bool:
        if folder.exists() and not folder.is_dir():
            raise UserError(f'{folder}: is a file, expected a folder or none')
        if not folder.exists() or not any(folder.iterdir()):
            return False
        if not (folder / self.metadata).is_file():
            raise UserError(
                f'{folder}: contains files but no {self.metadata}, expected '
                'an empty folder or none'
            )
        held = read_json(folder / self.metadata).get('origin')
        if not isinstance(held, dict):
            raise UserError(f'{folder / self.metadata}: has no origin')
        if changes := list_changes(held, self.origin):
            more = f' and {len(changes) - 2} more' if len(changes) > 2 else ''
            raise UserError(
                f'{folder}: holds {self.content} of another origin, '
                f'{"; ".join(changes[:2])}{more}; move it away or name '
                'another folder'
            )
        return True


def ensure_within(path: Path, root: Path) -> None:
    """Check that an untrusted path stays in its folder.

    Args:
        path: A file or folder; need not exist.
        root: The folder.

    Raises:
        UserError: It leads elsewhere, by ``..`` or a symlink.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f'{path}: leads to {path.resolve()}, expected a path in {root}'
        )


def build_runner(
    cfg: Config, content: str, out: Path, checkpoint: str | Path | None = None
) -> Runner:
    """Build a runner that applies its network to a dataset.

    Args:
        cfg: The config of the network's run.
        content: Its product; also the name of its log folder in the run's.
        out: Output folder.
        checkpoint: The network's weights, if the runner should load them.
    """
    cfg = cfg.copy()
    cfg.load_from = str(checkpoint) if checkpoint else None
    cfg.resume = False
    # The run's own folder keeps its training config.
    cfg.work_dir = str(Path(cfg.work_dir, content))
    # mmengine distinguishes the runs of a process by it.
    cfg.experiment_name = '_'.join([content, *out.parts[-2:]])
    return Runner.from_cfg(cfg)


def pending_batches(
    runner: Runner,
    dataset: BaseSegDataset,
    is_done: Sequence[bool],
    title: str,
    **settings: Any,
) -> Iterator[dict]:
    """Load the remaining images, sharded over ranks.

    Args:
        runner: Builds the loader.
        dataset: All images.
        is_done: Whether each image is done.
        title: Title of the progress bar.
        **settings: Settings of the loader.
    """
    pending = [i for i, done in enumerate(is_done) if not done]
    # All ranks must check before any of them writes.
    barrier()
    if pending:
        sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
        # mmengine 0.10.7's get_subset copies with a memo that outlives it, so
        # a later copy may contain objects of an earlier one.
        settings.update(sampler=sampler, dataset=Subset(dataset, pending))
        loader = runner.build_dataloader(settings)
        yield from track(loader, title, disable=not is_main_process())
    barrier()
