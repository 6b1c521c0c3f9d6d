# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.errors import UserError, require_one_of

# legend: N images, C channels

OF_DOMAIN = re.compile(r'\.of_domain\.([^.]+)')  # in a key of a checkpoint


class DomainNorms:
    """Batch norms with statistics of each domain, in one network.

    A batch is normalised domain by domain. The first domain's statistics have
    ordinary batch norm keys; those of ``predict`` are used if images have no
    domain. A teacher copied from the network shares the domain that `of` sets.

    Args:
        parts: Parts of the network, whose batch norms are replaced.
        domains: Names of domains, or of members of a `DomainPool`.
        predict: The domain of predicted images whose samples do not name one;
            None for the first.
        own_affine: Whether each domain has its own scale and shift, too.

    Raises:
        UserError: Names are missing or repeated, or a layer is unsupported.

    Source: DSBN, Chang et al., CVPR 2019, Sec. 3.2; there scale and shift are
    each domain's own.
    """

    def __init__(
        self,
        parts: Sequence[nn.Module],
        domains: Sequence[str],
        predict: str | None = None,
        own_affine: bool = False,
    ) -> None:
        self.domains = list(domains)
        if not domains or len({*domains}) < len(domains):
            raise UserError(
                f'model.domain_norms.domains={self.domains}, expected a name '
                'of each domain, once'
            )
        self.predict = predicted_domain(domains, predict)
        self.own_affine = own_affine
        self.current: list[str] = []
        for part in parts:
            self._replace_norms(part)

    def __deepcopy__(self, memo: dict) -> DomainNorms:
        """Share this object with copies of the network."""
        return self

    def _replace_norms(self, part: nn.Module) -> None:
        for module in list(part.modules()):
            for name, norm in list(module.named_children()):
                if isinstance(norm, _BatchNorm) and norm.track_running_stats:
                    require_known_domain(module, norm)
                    setattr(module, name, DomainBatchNorm(norm, self))

    @contextmanager
    def of(self, role: str, samples: Sequence[SegDataSample]) -> Iterator:
        """Set the domains of the images in all passes inside.

        Args:
            role: Domain of those whose sample does not name one.
            samples: N samples; a pass may have a multiple of N images.
                Without samples the outer setting stays.

        Raises:
            UserError: An image belongs to none of the domains.
        """
        before = self.current
        names = [self._name(role, sample) for sample in samples]
        self.current = names or before
        try:
            yield
        finally:
            self.current = before

    def _name(self, role: str, sample: SegDataSample) -> str:
        own = sample.get('domain')
        name = own if own in self.domains else role
        if name not in self.domains:
            raise UserError(
                f'model.domain_norms.domains: has no {own or role}, of which '
                f'images are, it has {", ".join(self.domains)}'
            )
        return name


class DomainBatchNorm(_BatchNorm):
    """A batch norm with statistics of each domain.

    Args:
        norm: That of the network, whose parameters and statistics it takes.
        owner: Tells what images are of.
    """

    def __init__(self, norm: _BatchNorm, owner: DomainNorms) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self._buffers.update(norm._buffers)
        self._parameters.update(norm._parameters)
        self.owner = owner
        self.affine = norm.affine
        # These only hold tensors: the settings and modes of this one count.
        self.of_domain = nn.ModuleDict()
        for name in owner.domains[1:]:
            own = owner.own_affine and norm.affine
            held = nn.BatchNorm2d(norm.num_features, affine=own)
            self.of_domain[name] = held.requires_grad_(
                own and norm.weight.requires_grad
            )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features (N, C, ...), domain by domain."""
        names = self.owner.current or [self.owner.predict]
        used = list(dict.fromkeys(names))
        if len(used) == 1:
            return self._of(used[0], x)
        names = names * (len(x) // len(names))  # windows, image by image
        # Of one image each, so that `cat` keeps the memory order.
        rows = [*x.split(1)]
        of_rows = list(zip(range(len(x)), names, strict=True))
        for name in used:
            own = [i for i, other in of_rows if other == name]
            part = self._of(name, torch.cat([rows[i] for i in own]))
            for i, row in zip(own, part.split(1), strict=True):
                rows[i] = row
        return torch.cat(rows)

    def _of(self, domain: str, x: Tensor) -> Tensor:
        if domain not in self.of_domain:
            return super().forward(x)
        held = self.of_domain[domain]
        buffers, parameters = self._buffers, self._parameters
        self._buffers = {**buffers, **held._buffers}
        if held.affine:
            self._parameters = {**parameters, **held._parameters}
        try:
            return super().forward(x)
        finally:
            self._buffers, self._parameters = buffers, parameters

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept features of any number of dimensions."""

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Copy the statistics of one domain if a file has no others."""
        complete(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def require_known_domain(module: nn.Module, norm: _BatchNorm) -> None:
    """Check that a norm can be replaced and knows the domain in each pass.

    Raises:
        UserError: It is a SyncBN, computes more than a norm, or is computed
            again in the backward pass.
    """
    if isinstance(norm, nn.SyncBatchNorm):
        problem = 'is a SyncBN, expected BN: ranks differ in their domains'
    elif type(norm).forward is not _BatchNorm.forward:
        kind = type(norm).__name__
        problem = f'is a {kind}, which computes more than a norm, expected BN'
    elif getattr(module, 'with_cp', False):
        problem = 'is computed again in backward, expected with_cp=False'
    else:
        return
    layer = type(module).__name__
    raise UserError(f'model.domain_norms: a batch norm of {layer} {problem}')


def predicted_domain(domains: Sequence[str], predict: str | None) -> str:
    """Choose the domain of predicted images.

    Raises:
        UserError: It is none of the domains.
    """
    if predict is not None:
        require_one_of('model.domain_norms.predict', predict, [*domains])
    return predict or domains[0]


def complete(module: nn.Module, state: dict, prefix: str) -> None:
    """Copy a one-domain checkpoint's statistics to every domain.

    Args:
        module: Network, or part of it, that it is for.
        state: Its weights, changed in place.
        prefix: Of the module's keys.
    """
    for key in module.state_dict(prefix=prefix):
        plain = OF_DOMAIN.sub('', key)
        if plain in state:
            state.setdefault(key, state[plain])


def key_of_predicted(key: str, norms: dict | None) -> str:
    """Name a statistic of the predicted domain in a run's checkpoint.

    Args:
        key: Its name in the exported network.
        norms: The run's ``model.domain_norms``, if any.
    """
    if not norms:
        return key
    domain = predicted_domain(norms['domains'], norms.get('predict'))
    if domain == norms['domains'][0]:
        return key
    layer, _, name = key.rpartition('.')
    return f'{layer}.of_domain.{domain}.{name}'


def of_one_domain(
    weights: dict[str, Tensor], norms: dict
) -> dict[str, Tensor]:
    """Keep the predicted domain's tensors under ordinary batch norm keys.

    Args:
        weights: Those of a run.
        norms: Its ``model.domain_norms``.

    Raises:
        UserError: There are none of this domain.
    """
    first = norms['domains'][0]
    domain = predicted_domain(norms['domains'], norms.get('predict'))
    own = {k: v for k, v in weights.items() if not OF_DOMAIN.search(k)}
    found = {
        OF_DOMAIN.sub('', key): value
        for key, value in weights.items()
        if (match := OF_DOMAIN.search(key)) and match[1] == domain
    }
    if domain != first and not found:
        raise UserError(
            f'model.domain_norms.predict={domain}: the checkpoint has no '
            'statistics of it, expected one that was trained with it'
        )
    return own | found
