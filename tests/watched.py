# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 32, 64
# One class for each colour, and one for none.
WEIGHT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], np.float32)
# As on a machine of a product: an import of these fails.
BLOCKED = ('torch', 'mmseg', 'mmcv', 'mmengine', 'cv2', 'PIL', 'scipy')
WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
import numpy as np
from mmseg_cag import watch
print(Path(watch.__file__).parents[2])
look = watch.Watch(Path('student.onnx'), Path('student.card.json')).look
print(look(np.zeros((32, 64, 3), np.uint8)).alarms)
print([name for name in sys.modules if name.split('.')[0] in {blocked}])
"""


def look_without_torch(
    network: Path, site: Path
) -> subprocess.CompletedProcess:
    """Watch a frame with numpy and onnxruntime alone.

    Args:
        network: ``student.onnx``, with its card beside it.
        site: Folder of the package.

    Returns:
        Prints the folder it imported from, alarms and blocked modules.
    """
    return subprocess.run(
        [sys.executable, '-c', WITHOUT.format(blocked=BLOCKED)],
        cwd=network.parent,
        env={**os.environ, 'PYTHONPATH': str(site)},
        text=True,
        capture_output=True,
        check=False,
    )


def write_network(
    path: Path,
    weight: np.ndarray = WEIGHT,
    size: tuple[int | str, int | str] = (HEIGHT, WIDTH),
) -> Path:
    """Write a network of a single layer with the outputs of a real one."""
    nodes = [
        helper.make_node('Conv', ['image', 'weight'], ['logits']),
        helper.make_node(
            'AveragePool',
            ['logits'],
            ['small'],
            kernel_shape=[4, 4],
            strides=[4, 4],
        ),
        helper.make_node('Abs', ['small'], ['distances']),
        helper.make_node('GlobalAveragePool', ['logits'], ['mean']),
        helper.make_node('Flatten', ['mean'], ['moments']),
    ]
    shapes = dict(
        logits=(4, *size),
        distances=(4, 'h', 'w'),
        moments=(4,),
    )
    graph = helper.make_graph(
        nodes,
        'network',
        [_value('image', 3, *size)],
        [_value(name, *shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(weight[:, :, None, None], 'weight')],
    )
    opset = [helper.make_opsetid('', 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    classes = json.dumps(['blue', 'green', 'red', 'dark'])
    model.metadata_props.add(key='classes', value=classes)
    onnx.save(model, path)
    return path


def _value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, TensorProto.FLOAT, ['N', *shape]
    )


def draw(count: int, seed: int, darker: float = 1.0) -> list[np.ndarray]:
    """Draw frames of patches in random colours."""
    rng = np.random.default_rng(seed)
    shape = (count, HEIGHT // 4, WIDTH // 4, 3)
    patches = darker * rng.uniform(0, 255, shape)
    return list(patches.repeat(4, 1).repeat(4, 2).astype(np.uint8))
