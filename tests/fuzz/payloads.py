# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pickles that would run a command."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
from io import BytesIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


class Call:
    """Calls a function where it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Reached(Call):
    """Calls what ``getattr`` finds through harmless classes."""

    def __init__(self, marker: str) -> None:
        methods = Call(getattr, HistoryBuffer.mean, '__globals__')
        super().__init__(Call(getattr, methods, 'get'), marker)


def calls(marker: str) -> list[Call]:
    """Every way to run something."""
    return [
        Call(os.system, f'touch {marker}'),
        Call(builtins.exec, f'open({marker!r}, "w")'),
        Call(builtins.eval, f'open({marker!r}, "w")'),
        Call(builtins.open, marker, 'w'),
        Call(subprocess.call, ['touch', marker]),
        Call(np.zeros(1).tofile, marker),
        Call(torch.save, 1, marker),
        Call(torch.hub.load, marker, 'a'),
    ]


def hostile_pickle(rng: np.random.Generator, marker: str) -> bytes:
    """Write a file that would make the marker if it were unpickled."""
    found = calls(marker)
    call = found[rng.integers(len(found))]
    places = [
        {'state_dict': {'decode_head.weight': torch.zeros(2), 'a': call}},
        {'state_dict': {}, 'meta': {'cfg': call}},
        {'objective_vectors': np.zeros((2, 2)), 'objective_num': call},
        [call],
        call,
    ]
    content = places[rng.integers(len(places))]
    stream = BytesIO()
    form = rng.integers(4)
    if form == 0:
        torch.save(content, stream)
    elif form == 1:
        torch.save(content, stream, _use_new_zipfile_serialization=False)
    elif form == 2:
        np.save(stream, np.array([content], object), allow_pickle=True)
    else:
        stream.write(pickle.dumps(content, protocol=int(rng.integers(6))))
    return stream.getvalue()
