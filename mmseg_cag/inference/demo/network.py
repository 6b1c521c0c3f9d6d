# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import register_all_modules

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.inference.export_student import student_meta
from mmseg_cag.models.student import build_student, student_pipeline

from .embedded_config import embedded_config


def load_network(
    checkpoint: Path, config: Path | None = None
) -> EncoderDecoder:
    """Build a stock segmentor with a run's weights, on the GPU if any.

    Nothing in the checkpoint is executed.

    Args:
        checkpoint: Of a run of any method, or of an exported student.
        config: Its config, which is executed; without, the text of the
            config in the checkpoint is read as data.

    Returns:
        The network in evaluation mode, with ``cfg`` and ``dataset_meta`` as
        `mmseg.apis.inference_model` expects them.

    Raises:
        MissingFileError: There is no such file.
        UserError: The checkpoint or its config is not what is expected.
    """
    content = read_checkpoint(checkpoint)
    # A config may register more, the registries' own come before.
    register_all_modules()
    if config is None:
        cfg = embedded_config(content, checkpoint)
    elif config.is_file():
        cfg = Config.fromfile(config)
    else:
        raise MissingFileError(f'{config}: config file not found')
    try:
        init_default_scope('mmseg')
        model = build_student(cfg.model, content['state_dict'], checkpoint)
        model.cfg = Config(dict(test_pipeline=student_pipeline(cfg)))
        model.dataset_meta = student_meta(cfg, content)
    except UserError:
        raise
    # Settings that are wrong make the classes fail in any way at all.
    except Exception as error:
        cause = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{config or checkpoint}: its network cannot be built, '
            f'{type(error).__name__}: {cause}'
        ) from error
    return model.to(get_device())
