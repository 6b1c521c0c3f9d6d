# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A trained network as PyTorch, ONNX and INT8, and the cost of each."""
