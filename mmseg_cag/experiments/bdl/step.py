# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from mmseg_cag.engine.checkpoint_hash import checkpoint_hash


class LoopStep(ABC):
    """A step of the loop: a run whose result is in a folder of its own.

    Args:
        name: What it is called, as its folder is.
        folder: Where the result goes.
        needs: The earlier steps whose results it takes, by their role.
    """

    def __init__(
        self, name: str, folder: Path, needs: dict[str, LoopStep]
    ) -> None:
        self.name = name
        self.folder = folder
        self.needs = needs

    @property
    @abstractmethod
    def result(self) -> Path:
        """The file by which the result is known."""

    @property
    def made_from(self) -> dict[str, str]:
        """SHA-256 of each result that this one is made from, by step."""
        return {
            step.name: checkpoint_hash(step.result)
            for step in self.needs.values()
        }

    @abstractmethod
    def check(self) -> None:
        """Check what can be checked before the first step runs."""

    @abstractmethod
    def run(self) -> None:
        """Make the result, unless it is there; go on with half of one.

        Raises:
            UserError: The folder holds the result of something else.
        """
