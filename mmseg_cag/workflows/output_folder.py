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

from mmseg_cag.engine.records.provenance import list_changes
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json, write_json
from mmseg_cag.progress import track


class OutputFolder:
    """A folder of files that appears complete or not at all.

    The work is done in ``<path>.part``, which takes the folder's name in the
    end; an interrupted one is resumed. Metadata in it tells its origin,
    and a folder of another origin is never touched.

    Args:
        path: The folder.
        origin: All that its files depend on; what JSON cannot hold, as text.
    """

    # Name of the metadata, and what the files are, for messages.
    metadata: str
    content: str

    def __init__(self, path: Path, origin: dict) -> None:
        self.path = path
        self.origin = json.loads(json.dumps(origin, default=str))
        self.draft = path.with_name(f'{path.name}.part')

    def is_complete(self) -> bool:
        """Whether the files of this very origin are there.

        Raises:
            UserError: The folder or its draft is something else's.
        """
        self._is_ours(self.draft)
        if is_there := self._is_ours(self.path):
            print_log(f'{self.path}: complete, reused', 'current')
        return is_there

    def begin(self) -> None:
        """Make the draft, or go on with it."""
        if (self.draft / self.metadata).is_file():
            print_log(f'{self.draft}: resumed', 'current')
        self.draft.mkdir(parents=True, exist_ok=True)
        write_json(self.draft / self.metadata, {'origin': self.origin})

    def has(self, name: str) -> bool:
        """Tell whether a file is in the draft."""
        return (self.draft / name).is_file()

    def file(self, name: str) -> Path:
        """Give the place of a file in the draft, its folder being made.

        Raises:
            UserError: The name, such as one of a data set's list, leads out.
        """
        path = self.draft / name
        ensure_within(path, self.draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        write_json(
            self.draft / self.metadata, {'origin': self.origin, **results}
        )
        os.replace(self.draft, self.path)

    def _is_ours(self, folder: Path) -> bool:
        if not folder.exists() or not any(folder.iterdir()):
            return False
        if not (folder / self.metadata).is_file():
            raise UserError(
                f'{folder}: holds files but no {self.metadata}, expected an '
                'empty folder or none'
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
    """Check that a path that strangers named stays in its folder.

    Args:
        path: A file or folder, there or not.
        root: The folder.

    Raises:
        UserError: By ``..`` or by a symlink it leads elsewhere.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f'{path}: leads to {path.resolve()}, expected a place in {root}'
        )


def build_runner(
    cfg: Config, content: str, out: Path, checkpoint: str | Path | None = None
) -> Runner:
    """Build a runner whose network works over a data set.

    Args:
        cfg: The config of the network's run.
        content: What it makes; its log's folder in that of the run is called
            so.
        out: Where the files go.
        checkpoint: The network's weights, if the runner is to load them.
    """
    cfg = cfg.copy()
    cfg.load_from = str(checkpoint) if checkpoint else None
    cfg.resume = False
    # The run's own folder keeps the config that it was trained by.
    cfg.work_dir = str(Path(cfg.work_dir, content))
    # mmengine tells runs of one process apart by it.
    cfg.experiment_name = '_'.join([content, *out.parts[-2:]])
    return Runner.from_cfg(cfg)


def pending_batches(
    runner: Runner,
    dataset: BaseSegDataset,
    is_done: Sequence[bool],
    title: str,
    **settings: Any,
) -> Iterator[dict]:
    """Load, shared over ranks, the images that are not done yet.

    Args:
        runner: Builds the loader.
        dataset: All images.
        is_done: Of each image, whether it is.
        title: Of the progress bar.
        **settings: Those of the loader.
    """
    pending = [i for i, done in enumerate(is_done) if not done]
    # All ranks have looked before one of them writes.
    barrier()
    if pending:
        sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
        settings.update(sampler=sampler, dataset=dataset.get_subset(pending))
        loader = runner.build_dataloader(settings)
        yield from track(loader, title, disable=not is_main_process())
    barrier()
