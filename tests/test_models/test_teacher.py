# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmcv.cnn.bricks.drop import DropPath
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.teacher import Teacher, prediction_parts
from tests import release, tiny


def student() -> nn.Module:
    """A segmentor with a teacher of its own, which others are made beside."""
    return MODELS.build(tiny.cag())


def disturb(model: nn.Module) -> None:
    """Let a student be another one, its running statistics included."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))


def test_an_update_follows_the_mean_then_an_average():
    model = student()
    teacher = Teacher(model, momentum=0.25, buffers='keep')
    key = 'backbone.layers.0.conv.weight'
    history, expected = [], None
    for step in range(8):
        disturb(model)
        value = model.get_parameter(key).detach().clone()
        history.append(value)
        teacher.update_parameters(model)
        weight = max(0.25, 1 / (step + 1))
        expected = (
            value if step == 0 else (1 - weight) * expected + weight * value
        )
        actual = teacher.module.get_parameter(key)
        torch.testing.assert_close(actual, expected)
        if step == 3:  # until then, the mean of all students
            torch.testing.assert_close(actual, torch.stack(history).mean(0))
    assert teacher.steps == 8


class Toy(nn.Module):
    """Parameters of the sizes of the reference values."""

    prediction_parts = ('part',)

    def __init__(self, sizes) -> None:
        super().__init__()
        self.observers = []
        self.part = nn.ParameterList(torch.zeros(int(n)) for n in sizes)
        self.part.register_buffer('statistics', torch.zeros(9))

    def set(self, values) -> None:
        parts = values.split([p.numel() for p in self.part])
        for parameter, value in zip(self.part, parts, strict=True):
            parameter.data.copy_(value)


@pytest.mark.parametrize('alpha', ['0.999', '0.7'])
def test_its_averages_are_those_of_the_release(alpha):
    case = release.read('ema_trajectory')
    model = Toy(case['sizes'])
    teacher = Teacher(model, momentum=1 - float(alpha), buffers='keep')
    model.part.statistics.copy_(case['student_buffers'])
    teacher.module.part.statistics.copy_(case['teacher_buffers'])
    for student, expected in zip(
        case['student'], case[f'teacher_alpha{alpha}'], strict=True
    ):
        model.set(student)
        teacher.update_parameters(model)
        actual = torch.cat(list(teacher.module.part))
        release.assert_close(actual, expected, 3e-7)
    own = teacher.module.part.statistics
    assert torch.equal(own, case['teacher_buffers'])


@pytest.mark.parametrize(('alpha', 'name'), [(0.999, '0999'), (0.99, '099')])
def test_its_ramp_is_that_of_the_release(alpha, name):
    case = release.read('ema_trajectory')
    model = Toy([1]).double()
    teacher = Teacher(model, momentum=1 - alpha, buffers='keep')
    ramp = zip(case['ramp_iteration'], case[f'ramp_alpha_{name}'], strict=True)
    for iteration, expected in ramp:
        model.set(torch.zeros(1).double())
        [own] = teacher.module.part
        own.data.fill_(1)
        teacher.updates = int(iteration)
        teacher.update_parameters(model)
        release.assert_close(own.detach()[0], expected, 1e-12)


@pytest.mark.parametrize('buffers', ['keep', 'copy', 'average'])
def test_what_becomes_of_buffers(buffers):
    model = student()
    teacher = Teacher(model, momentum=0.5, buffers=buffers)
    norm = 'decode_head.convs.0.bn.running_mean'
    before = teacher.module.get_buffer(norm).clone()
    values = []
    for _ in range(2):
        disturb(model)
        values.append(model.get_buffer(norm).clone())
        teacher.update_parameters(model)
    expected = dict(keep=before, copy=values[-1], average=sum(values) / 2)[
        buffers
    ]
    torch.testing.assert_close(teacher.module.get_buffer(norm), expected)


def test_modes_whatever_that_of_the_student():
    model = student()
    model.decode_head.drop = DropPath(0.5)
    plain, own = Teacher(model), Teacher(model, mode='batch_norm')
    for mode in (True, False):
        for teacher in (plain, own):
            teacher.train(mode)
        assert not any(m.training for m in plain.modules())
        norms = {m for m in own.modules() if isinstance(m, nn.BatchNorm2d)}
        assert norms == {m for m in own.modules() if m.training}
    images = torch.randn(2, 3, *tiny.SIZE)
    first, second = (own(images).logits[0] for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    norm = own.module.decode_head.convs[0].bn
    assert norm.num_batches_tracked == 2


def test_its_pass_is_that_of_the_student_without_a_graph():
    model = student().eval()
    teacher = Teacher(model)
    images = torch.randn(2, 3, *tiny.SIZE)
    output, expected = teacher(images), model.forward_student(images)
    assert torch.equal(output.logits[0], expected.logits[0])
    assert torch.equal(output.feat, expected.feat)
    assert not output.logits[0].requires_grad
    # A student may go backward through a function of what it returns.
    (model.decode_head.conv_seg.weight.sum() * output.feat).sum().backward()


def test_only_what_predicts_is_copied():
    model = student()
    assert {n for n, _ in prediction_parts(model).named_children()} == {
        'backbone',
        'decode_head',
    }
    assert {n for n, _ in model.named_children()} > {'teacher', 'anchor_bank'}


def test_what_nobody_trains_is_shared():
    model = student()
    model.backbone.requires_grad_(False)
    teacher = Teacher(model, momentum=0.5)
    pairs = [
        (name, value, model.get_parameter(name))
        for name, value in teacher.module.named_parameters()
    ]
    for name, one, other in pairs:
        assert (one is other) == name.startswith('backbone.'), name
    before = model.backbone.layers[0].conv.weight.clone()
    for _ in range(3):
        teacher.update_parameters(model)
    assert torch.equal(model.backbone.layers[0].conv.weight, before)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_its_state_is_whole():
    model = student()
    teacher = Teacher(model, momentum=0.3)
    for _ in range(3):
        disturb(model)
        teacher.update_parameters(model)
    other = Teacher(student(), momentum=0.3)
    other.load_state_dict(teacher.state_dict())
    disturb(model)
    for one in (teacher, other):
        one.update_parameters(model)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_fixed_teacher_of_another_architecture(tmp_path):
    config = tiny.segmentor(neck=True)
    network = MODELS.build(config).eval()
    Config(dict(model=config)).dump(tmp_path / 'run.py')
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'run.pth')
    files = dict(
        config=str(tmp_path / 'run.py'), checkpoint=str(tmp_path / 'run.pth')
    )
    model = student()
    teacher = Teacher(model, **files)
    before = copy.deepcopy(teacher.state_dict())
    teacher.update_parameters(model)
    for key, value in before.items():
        assert torch.equal(teacher.state_dict()[key], value)
    images = torch.randn(1, 3, *tiny.SIZE)
    with torch.no_grad():
        expected = network.decode_head(network.extract_feat(images))
    assert torch.equal(teacher(images).logits[0], expected)


def test_a_fixed_teacher_of_other_classes_is_refused(tmp_path):
    config = tiny.segmentor()
    config.decode_head.num_classes = 5
    network = MODELS.build(config)
    Config(dict(model=config)).dump(tmp_path / 'run.py')
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'run.pth')
    files = dict(
        config=str(tmp_path / 'run.py'), checkpoint=str(tmp_path / 'run.pth')
    )
    with pytest.raises(UserError, match='has 5 classes, expected 19'):
        Teacher(student(), **files)


def test_a_warm_up_does_not_replace_a_fixed_teacher(tmp_path):
    config = tiny.segmentor()
    network = MODELS.build(config)
    Config(dict(model=config)).dump(tmp_path / 'run.py')
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'run.pth')
    files = dict(
        config=str(tmp_path / 'run.py'), checkpoint=str(tmp_path / 'run.pth')
    )
    model = MODELS.build(
        {**tiny.cag(), 'teacher': dict(type='Teacher', **files)}
    )
    warm_up = MODELS.build(tiny.segmentor())
    disturb(warm_up)
    model.load_state_dict(warm_up.state_dict(), strict=False)
    for key, value in network.state_dict().items():
        assert torch.equal(model.teacher.module.state_dict()[key], value), key
    assert torch.equal(
        model.decode_head.conv_seg.weight, warm_up.decode_head.conv_seg.weight
    )


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(mode='half'), "mode='half', expected one of"),
        (dict(buffers='none'), "buffers='none', expected one of"),
        (dict(momentum=0.0), 'momentum=0.0, expected'),
        (dict(momentum=1.5), 'momentum=1.5, expected'),
        (dict(config='a.py'), 'expected both for a fixed teacher'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        Teacher(student(), **settings)
    assert '\n' not in str(caught.value)


def test_a_checkpoint_of_version_0_1_brings_its_labeler():
    model, other = student(), student()
    disturb(model.teacher.module)
    state = model.state_dict()
    old = {
        key.replace('teacher.module.', 'labeler.'): value
        for key, value in state.items()
        if key != 'teacher.steps'
    }
    missing, unexpected = other.load_state_dict(old, strict=False)
    assert not missing and not unexpected
    for key, value in model.teacher.module.state_dict().items():
        assert torch.equal(other.teacher.module.state_dict()[key], value)
