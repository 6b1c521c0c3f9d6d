# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 32, 64
# One class for each colour, and one for none.
WEIGHT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], np.float32)


def write_network(path: Path, weight: np.ndarray = WEIGHT) -> Path:
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
        logits=(4, HEIGHT, WIDTH),
        distances=(4, HEIGHT // 4, WIDTH // 4),
        moments=(4,),
    )
    graph = helper.make_graph(
        nodes,
        'network',
        [_value('image', 3, HEIGHT, WIDTH)],
        [_value(name, *shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(weight[:, :, None, None], 'weight')],
    )
    opset = [helper.make_opsetid('', 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    classes = json.dumps(['blue', 'green', 'red', 'dark'])
    model.metadata_props.add(key='classes', value=classes)
    onnx.save(model, path)
    return path


def _value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, TensorProto.FLOAT, ['N', *shape]
    )


def draw(count: int, seed: int, darker: float = 1.0) -> list[np.ndarray]:
    """Draw frames of patches in random colours."""
    rng = np.random.default_rng(seed)
    shape = (count, HEIGHT // 4, WIDTH // 4, 3)
    patches = darker * rng.uniform(0, 255, shape)
    return list(patches.repeat(4, 1).repeat(4, 2).astype(np.uint8))
