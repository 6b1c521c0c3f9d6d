# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import inspect
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.fileio.safe_load import read_checkpoint, require_same_tensors

from .domain_norms import of_one_domain, predicted_domain

LABEL_LOADERS = ('LoadAnnotations', 'LoadLabelIds', 'LoadLabelsByName')
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')


def student_model(model: ConfigDict) -> ConfigDict:
    """Reduce the config of a segmentor to what prediction needs."""
    segmentor = MODELS.get(model.type)
    stock = next(
        cls for cls in segmentor.__mro__ if cls.__module__.startswith('mmseg.')
    )
    known = inspect.signature(stock).parameters
    student = ConfigDict(
        {key: value for key, value in model.items() if key in known},
        type=stock.__name__,
    )
    domain = 'target'
    if norms := model.get('domain_norms'):
        domain = predicted_domain(norms.domains, norms.get('predict'))
    student.data_preprocessor = preprocessor_of(
        model.data_preprocessor, domain
    )
    student.backbone = without_origin(model.backbone)
    return student


def without_origin(part: dict) -> dict:
    """Remove the sources of initial weights: the checkpoint has them."""
    found = {
        key: without_origin(value) if isinstance(value, dict) else value
        for key, value in part.items()
    }
    return found | dict.fromkeys(part.keys() & {'init_cfg', 'pretrained'})


def preprocessor_of(cfg: ConfigDict, domain: str) -> ConfigDict:
    """Select the preprocessor config of a domain.

    Raises:
        UserError: It has none, and there is no default.
    """
    if cfg.type != 'UDADataPreprocessor':
        return cfg
    known = cfg.get('domains') or {}
    found = known.get(domain) or cfg.get('default')
    if found is None:
        raise UserError(
            f'model.data_preprocessor: no domain {domain}, expected one of '
            f'{list(known)}, or a default'
        )
    return found


def load_student(segmentor: str | dict, checkpoint: str) -> nn.Module:
    """Build the frozen prediction network of a segmentor.

    Args:
        segmentor: Config file of a run or its ``model``.
        checkpoint: The run's checkpoint, or one of a stock segmentor.

    Raises:
        MissingFileError: There is no such file.
        UserError: The weights do not fit this network.
    """
    if isinstance(segmentor, str):
        if not Path(segmentor).is_file():
            raise MissingFileError(f'{segmentor}: config file not found')
        segmentor = load_config(segmentor).model
    state = read_checkpoint(checkpoint)['state_dict']
    return build_student(ConfigDict(segmentor), state, checkpoint)


def build_student(
    segmentor: ConfigDict, state: dict[str, Tensor], origin: str | Path
) -> EncoderDecoder:
    """Build the frozen prediction network of a segmentor from weights.

    Args:
        segmentor: The ``model`` of a run's config.
        state: Weights of the run's checkpoint.
        origin: Source of the weights, for the error.

    Raises:
        UserError: The weights do not fit this network.
    """
    model = MODELS.build(student_model(segmentor))
    weights = student_weights(state, segmentor)
    check_weights(model, weights, origin)
    model.load_state_dict(weights)
    return model.requires_grad_(False).eval()


def student_weights(
    state: dict[str, Tensor], segmentor: dict
) -> dict[str, Tensor]:
    """Select the student's weights.

    Args:
        state: Weights of a run's checkpoint.
        segmentor: The ``model`` of its config.

    Batch norms per domain keep the statistics of the predicted domain. CLAN's
    second classifier is added to the first: both are linear, and prediction
    uses their sum.
    """
    weights = {k: v for k, v in state.items() if k.split('.')[0] in PARTS}
    for key, value in state.items():
        part, _, name = key.partition('.')
        if part == 'co_classifier':
            own = f'decode_head.conv_seg.{name}'
            weights[own] = weights[own] + value
    norms = segmentor.get('domain_norms')
    return of_one_domain(weights, norms) if norms else weights


def check_weights(model: nn.Module, weights: dict, path: str | Path) -> None:
    """Check that weights fit a model exactly."""
    require_same_tensors(
        model.state_dict(),
        weights,
        f"{path}: does not fit this config's network,",
    )


def student_pipeline(cfg: Config) -> list[ConfigDict]:
    """List the test pipeline's steps, without loading labels.

    Raises:
        UserError: The config has none.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset', {})
    steps = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not steps:
        raise UserError(
            'test_pipeline: not set, nor is test_dataloader, expected the '
            'pipeline for test images'
        )
    return [step for step in steps if step['type'] not in LABEL_LOADERS]
