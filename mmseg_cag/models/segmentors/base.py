# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.models.binary import count_two_classes, two_class_scores
from mmseg_cag.models.data_preprocessor import padding_of
from mmseg_cag.models.domain_norms import DomainNorms, complete
from mmseg_cag.models.losses.head_loss import head_loss
from mmseg_cag.models.mixing import VOID, Labelled
from mmseg_cag.models.two_scales import FusedScores

from .encoder_decoder import SingleResizeEncoderDecoder

# legend: N images, K classes, C feature channels, H W image, h w feature map


class SegOutput(NamedTuple):
    """Features and logits of a batch.

    Attributes:
        logits: Class scores (N, K, h, w) of each classifier, the decode
            head's first.
        feat: The input of the decode head's classifier ``conv_seg``
            (N, C, h, w), f_D of the CAG paper; None if the head has no such
            layer or uses it more than once.
        pyramid: Input feature maps of the heads.
        fused: All scores of an `HRDAHead` in training; the first logits are
            the fused ones.
    """

    logits: list[Tensor]
    feat: Tensor | None
    pyramid: Sequence[Tensor]
    fused: FusedScores | None = None


class UDASegmentor(SingleResizeEncoderDecoder):
    """A stock segmentor trained on several domains.

    The student *is* the segmentor, so checkpoint keys and prediction are those
    of mmseg. A method overrides `loss`, an outline of the algorithm, using
    these steps:

    .. code:: text

       move_teacher(teacher)        a mean teacher follows
       forward_student(images)      features and logits
       statistics_of(role, samples) of domains, for passes inside
       supervised_loss(output, labels, prefix, weight, absent)
       labelled(images, samples)    images with their true labels
       labelled_loss(output, batch, prefix)      supervised_loss on these
       learn_from_source(batch)     output and labelled_loss on the source
       observe(images=..., ...)     maps of the target, for the monitor
       step_generator()             where a step's random draws come from

    A method runs only the passes it needs. An observer, a function in
    ``observers``, is called with the maps of `observe` and must not change
    them. If a method does not compute student scores on the target, they are
    computed for the observers only: in evaluation mode, without gradients or
    side effects.

    Args:
        data_preprocessor: Config of a `UDADataPreprocessor`, or a stock one
            for all domains.
        norm_eval: Whether the student's batch norms keep their running
            statistics while training ("freeze BN"), in all domains.
        domain_norms: Arguments of `DomainNorms`; None for one set of
            statistics.
        distillation: Config of a `Distillation`, whose losses on target images
            are added to the method's; None for none.
        **kwargs: Arguments of `SingleResizeEncoderDecoder`.
    """

    # Modules used for prediction; a teacher has the same.
    prediction_parts = ('backbone', 'neck', 'decode_head')
    # Domains that `loss` needs in a batch.
    domains = ('source', 'target')
    # Method state that keeps its initial value if a checkpoint lacks it.
    own_state: tuple[str, ...] = ()
    # Networks that the config names: a run that starts from another's
    # checkpoint does not take them from it.
    named_parts: tuple[str, ...] = ('distillation.teacher',)
    # Domains whose images are mixed, augmented or converted by the target's
    # normalisation, so that theirs must be the same.
    normalised_alike: tuple[str, ...] = ()

    def __init__(
        self,
        data_preprocessor: dict,
        norm_eval: bool = False,
        domain_norms: dict | None = None,
        distillation: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if data_preprocessor['type'] != 'UDADataPreprocessor':
            data_preprocessor = dict(
                type='UDADataPreprocessor', default=data_preprocessor
            )
        super().__init__(data_preprocessor=data_preprocessor, **kwargs)
        for prefix, head in self.heads().items():
            if getattr(head, 'out_channels', None) == 1:
                name = f'{type(self).__name__}: {prefix or "decode "}head'
                count_two_classes(head, name)
        self.num_classes = self.decode_head.num_classes
        self.norm_eval = norm_eval
        self.domain_norms = None
        if domain_norms is not None:
            self.domain_norms = DomainNorms([*self.children()], **domain_norms)
        # Whether a batch is the first of an update; set by the loop.
        self.update_begins = True
        self.observers: list[Callable[..., None]] = []
        self.distillation = None
        if distillation is not None:
            settings = {'type': 'Distillation', **distillation}
            self.distillation = MODELS.build({**settings, 'student': self})

    def train(self, mode: bool = True) -> UDASegmentor:
        """Set the student's mode; frozen batch norms stay in eval mode."""
        super().train(mode)
        if self.norm_eval:
            for name, part in self.named_children():
                if not name.endswith('teacher'):
                    freeze_batch_norm(part)
        return self

    def forward(
        self,
        inputs: Tensor | dict[str, Tensor],
        data_samples: Any = None,
        mode: str = 'tensor',
    ) -> Any:
        """Compute losses on several domains, or predict like any segmentor.

        Raises:
            ValueError: The batch lacks a domain that the method needs.
        """
        given = inputs if isinstance(inputs, dict) else {}
        missing = [name for name in self.domains if name not in given]
        if mode == 'loss' and missing:
            raise ValueError(
                f'{type(self).__name__}: the batch has no {missing[0]}, set '
                'train_dataloader.dataset to a UDADataset with the domains '
                f'{", ".join(self.domains)}'
            )
        if mode == 'loss' and self.observers and 'target' in self.domains:
            padding = padding_of(data_samples['target'], inputs['target'])
            if padding is not None:
                self.observe(padding=padding)
        with self._all_statistics(data_samples, mode):
            result = super().forward(inputs, data_samples, mode)
            if mode == 'loss' and self.distillation is not None:
                result |= self.distillation(self, inputs['target'])
        return result

    def statistics_of(
        self, role: str, samples: Sequence[SegDataSample]
    ) -> AbstractContextManager:
        """Set the domains that per-domain batch norms use inside.

        A method wraps its source passes in this; all others in a step use the
        target's statistics.

        Args:
            role: Domain of images whose sample does not name one.
            samples: Of each image.
        """
        if self.domain_norms is None:
            return nullcontext()
        return self.domain_norms.of(role, samples)

    def _all_statistics(
        self, data_samples: Any, mode: str
    ) -> AbstractContextManager:
        if self.domain_norms is None:
            return nullcontext()
        if mode == 'loss':
            return self.statistics_of('target', data_samples.get('target', ()))
        role = self.domain_norms.predict
        return self.statistics_of(role, data_samples or ())

    @abstractmethod
    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute the losses of a step; keys with ``loss`` are summed.

        Args:
            inputs: Images (N, 3, H, W) float32 of each domain.
            data_samples: N samples of each domain; labelled domains have
                labels, others at most pseudo labels.
        """

    def move_teacher(self, teacher: nn.Module) -> None:
        """Update a mean teacher from the student, once per update."""
        if self.update_begins:
            teacher.update_parameters(self)

    def forward_student(
        self, images: Tensor, auxiliary: bool = True
    ) -> SegOutput:
        """Run the student on images (N, 3, H, W).

        Args:
            images: The images.
            auxiliary: Whether to run the auxiliary heads, too.
        """
        output = run_network(self, images)
        if auxiliary:
            heads = list(self.heads().values())[1:]
            output.logits.extend(
                class_scores(head, output.pyramid) for head in heads
            )
        return output

    def main_logits(self, output: SegOutput) -> Tensor:
        """Return the class scores (N, K, h, w) used for prediction."""
        return output.logits[0]

    def heads(self) -> dict[str, nn.Module]:
        """Return heads by loss prefix, in the order of the logits."""
        heads = {'': self.decode_head}
        if not self.with_auxiliary_head:
            return heads
        if not isinstance(self.auxiliary_head, nn.ModuleList):
            return {**heads, 'aux.': self.auxiliary_head}
        return heads | {
            f'aux_{i}.': head for i, head in enumerate(self.auxiliary_head)
        }

    def supervised_loss(
        self,
        output: SegOutput,
        labels: Tensor,
        prefix: str,
        weight: Tensor | None = None,
        absent: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses on labels, true or pseudo.

        Args:
            output: The student's output; each of its logits gets a loss.
            labels: Labels (N, H, W) int64.
            prefix: Prefix of the losses' names.
            weight: Weights of the pixels (N, H, W) float32.
            absent: Classes that cannot occur in a pixel's label, from
                `absent_classes`.
        """
        losses = {}
        scores = [
            output.logits[0] if output.fused is None else output.fused,
            *output.logits[1:],
        ]
        for (name, head), own in zip(
            self.heads().items(), scores, strict=False
        ):
            own = head_loss(head, own, labels, weight, absent)
            losses.update(add_prefix(own, f'{prefix}.{name}'.rstrip('.')))
        return losses

    def labelled_loss(
        self, output: SegOutput, batch: Labelled, prefix: str
    ) -> dict[str, Tensor]:
        """Compute `supervised_loss` on the labels of a batch."""
        return self.supervised_loss(
            output, batch.labels, prefix, batch.weight, batch.absent
        )

    def learn_from_source(
        self, source: Labelled
    ) -> tuple[SegOutput, dict[str, Tensor]]:
        """Run the student on the source and compute `labelled_loss`."""
        with self.statistics_of('source', source.samples):
            output = self.forward_student(source.images)
        return output, self.labelled_loss(output, source, 'source')

    def labelled(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Combine images (N, 3, H, W) with their samples' true labels."""
        labels = gt_labels(data_samples)
        absent = self.absent_classes(data_samples, labels)
        return Labelled(images, labels, None, data_samples, absent)

    def absent_classes(
        self, data_samples: list[SegDataSample], labels: Tensor
    ) -> Tensor | None:
        """Find the classes that each image's domain does not label.

        Args:
            data_samples: N samples, with the metadata of a `DomainPool`.
            labels: Their labels (N, H, W).

        Returns:
            (N, K, H, W) bool, constant within an image; None if there is no
            such class.
        """
        names = [sample.get('absent', ()) for sample in data_samples]
        if not any(names):
            return None
        absent = torch.zeros(len(names), self.num_classes, dtype=torch.bool)
        for row, classes in zip(absent, names, strict=True):
            row[list(classes)] = True
        absent = absent.to(labels.device, non_blocking=True)
        return absent[:, :, None, None].expand(-1, -1, *labels.shape[-2:])

    def observe(self, **maps: Tensor) -> None:
        """Pass maps of this step to the observers.

        Args:
            **maps: The target's ``images``, with the ``student``'s class
                scores if available; any other maps; all methods: ``padding``.
        """
        if not self.observers:
            return
        if 'images' in maps and 'student' not in maps:
            maps['student'] = self._predict_aside(maps['images'])
        for observer in self.observers:
            observer(**maps)

    @torch.no_grad()
    def _predict_aside(self, images: Tensor) -> Tensor:
        """Compute the student's scores without side effects."""
        # torch 2.1 would take the half copies of weights that autocast keeps,
        # made without gradients here, for the passes that need gradients.
        caches = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            with evaluating(self):
                output = self.forward_student(images, auxiliary=False)
                return self.main_logits(output)
        finally:
            torch.set_autocast_cache_enabled(caches)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Copy the student to the teacher if the checkpoint has none.

        This is the case when starting from a stock segmentor. A fixed teacher,
        the distillation and the parts in ``own_state`` and ``named_parts``
        keep their values if the checkpoint lacks them. Version 0.1 named the
        teacher ``labeler``.
        """
        if hasattr(self.decode_head, 'adopt'):
            self.decode_head.adopt(state_dict, f'{prefix}decode_head.')
        if self.domain_norms is not None:
            complete(self, state_dict, prefix)
        mark = f'{prefix}teacher.module.'
        for key, value in self.state_dict(prefix=prefix).items():
            if key.startswith(f'{prefix}teacher.') and key not in state_dict:
                name = key.removeprefix(mark)
                student = value
                if not self.teacher.is_fixed:
                    student = state_dict.get(f'{prefix}{name}', value)
                old = state_dict.pop(f'{prefix}labeler.{name}', student)
                state_dict[key] = old
            own = (*self.own_state, *self.named_parts, 'distillation')
            if key.removeprefix(prefix).split('.')[0] in own:
                state_dict.setdefault(key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def step_generator(self) -> torch.Generator:
        """Create the generator for this step's explicit random draws.

        When called before any pass, it depends only on the seed of the global
        generator: (seed, rank, iteration), set by `StepSeedHook`.
        """
        generator = torch.Generator()
        return generator.manual_seed(int(torch.randint(2**62, ())))


def run_network(network: EncoderDecoder, images: Tensor) -> SegOutput:
    """Run backbone, neck and decode head of any mmseg segmentor.

    Features are captured at the input of ``decode_head.conv_seg``, after the
    head's dropout, which all mmseg heads have in common.
    """
    head = network.decode_head
    pyramid = network.extract_feat(images)
    if not hasattr(head, 'conv_seg'):
        scores = head(pyramid)
        if isinstance(scores, FusedScores):
            return SegOutput([scores.fused], None, pyramid, scores)
        return SegOutput([scores], None, pyramid)
    caught = []
    handle = head.conv_seg.register_forward_pre_hook(
        lambda _, inputs: caught.append(inputs[0])
    )
    try:
        logits = class_scores(head, pyramid)
    finally:
        handle.remove()
    feat = caught[0] if len(caught) == 1 else None
    return SegOutput([logits], feat, pyramid)


def class_scores(head: nn.Module, pyramid: Sequence[Tensor]) -> Tensor:
    """Compute a head's scores (N, K, h, w); a sigmoid gives two classes."""
    scores = head(pyramid)
    return two_class_scores(scores) if head.out_channels == 1 else scores


def freeze_batch_norm(module: nn.Module) -> None:
    """Make batch norms use their running statistics without updates."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode inside the context, then restore."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """Keep running statistics unchanged inside the context."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def gt_labels(data_samples: list[SegDataSample]) -> Tensor:
    """Stack the labels of a batch to (N, H, W) int64.

    Labels of a class that a sample's domain does not label are void: their
    probability is 0, so their loss would drown all others.
    """
    return torch.cat([_known_labels(sample) for sample in data_samples])


def _known_labels(sample: SegDataSample) -> Tensor:
    labels = sample.gt_sem_seg.data
    if not sample.get('absent', ()):
        return labels
    absent = torch.tensor(sample.absent, dtype=labels.dtype)
    absent = absent.to(labels.device, non_blocking=True)
    return labels.masked_fill(torch.isin(labels, absent), VOID)


def resize_labels(labels: Tensor, like: Tensor) -> Tensor:
    """Resize labels (N, H, W) to the size of a map (N, ..., h, w).

    Entry (i, j) is label (floor(i H / h), floor(j W / w)), as released.
    """
    resized = F.interpolate(
        labels.unsqueeze(1).float(), like.shape[-2:], mode='nearest'
    )
    return resized.squeeze(1).long()


def bare_model(runner: Runner) -> nn.Module:
    """Unwrap the model from its distributed wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def current_stage(runner: Runner) -> int | None:
    """Return the run's current stage, if it has stages."""
    stage = getattr(bare_model(runner), 'stage', None)
    return None if stage is None else int(stage)
