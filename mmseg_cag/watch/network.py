# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mmseg_cag.errors import UserError

from .card import fingerprint
from .frame import Frame, summarize

OUTPUTS = ['logits', 'distances', 'moments']

# legend: H W image


class WatchedNetwork:
    """A network exported by `tools/model_converters/export_onnx.py --card`.

    Args:
        path: The ONNX file.
        threads: CPU threads; None for all.

    Raises:
        MissingFileError: There is no such file.
        UserError: It lacks the outputs for a watch.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        self.path = path
        self.fingerprint = fingerprint(path)
        options = SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            self.session = InferenceSession(
                path, options, providers=['CPUExecutionProvider']
            )
        # onnxruntime does not export its exception classes.
        except Exception as error:
            raise UserError(f'{path}: not readable as ONNX') from error
        found = {output.name for output in self.session.get_outputs()}
        if missing := [name for name in OUTPUTS if name not in found]:
            raise UserError(
                f'{path}: has no output {missing[0]!r}, expected a network '
                'that was exported with --card'
            )

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Return height and width of the frames; None if any fits."""
        sizes = self.session.get_inputs()[0].shape[2:]
        return tuple(n if isinstance(n, int) else None for n in sizes)

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes."""
        return json.loads(
            self.session.get_modelmeta().custom_metadata_map['classes']
        )

    def look(self, image: np.ndarray) -> Frame:
        """Run the network on a frame (H, W, 3) uint8, BGR.

        Raises:
            UserError: It has another size.
        """
        for own, expected in zip(image.shape, self.size, strict=False):
            if expected not in (own, None):
                raise UserError(
                    f'a frame of {image.shape[:2]}, expected {self.size}, '
                    f'the height and width of {self.path}'
                )
        batch = image.transpose(2, 0, 1)[None].astype(np.float32)
        outputs = self.session.run(OUTPUTS, {'image': batch})
        logits, distances, moments = (output[0] for output in outputs)
        return summarize(logits, distances, moments)
