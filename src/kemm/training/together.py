"""Networks trained in one pass: parameters side by side, each bag read once for those that train on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kemm.model.batch import CaseBatch, Tokens
from kemm.model.survival_model import SurvivalModel
from kemm.training.reading import CPU, CaseReader, expect, side_by_side
from kemm.training.stacking import Noise, NotStackable, alone, stack

CLIP = 1.0
"""Largest norm of a network's gradient in a step."""
PATCHES_AT_ONCE = 2**17
"""When predicting: more than so many patches are not read at once, unless one case has them."""
CASES_AT_ONCE = 64
STEPS_AN_EPOCH = 100_000
"""So many keys of noise an epoch has: more than steps."""


@dataclass(frozen=True)
class Optimiser:
    """How steps are taken (AdamW)."""

    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Learner:
    """One network, what it learns from, and on what."""

    model: SurvivalModel
    reader: CaseReader
    rows: NDArray[np.int64]
    months: Tensor
    event: Tensor
    seed: int


class Together:
    """Several networks of one kind, as one. Their models are up to date after each epoch.

    Raises:
        NotStackable: They cannot be put side by side; a single one always can.
    """

    def __init__(self, learners: Sequence[Learner], optimiser: Optimiser, device: torch.device = CPU) -> None:
        self.learners = list(learners)
        self.settings = optimiser
        self.device = device
        self.noise = Noise([one.seed for one in learners])
        models = [one.model for one in learners]
        self.stacked = True
        try:
            self.body: SurvivalModel = stack(models, self.noise)
        except NotStackable:
            if len(models) > 1:
                raise
            self.stacked = False
            self.body = alone(models[0], self.noise)
        self.body.to(device)
        self.heads = [copy.deepcopy(model.head).to(device) for model in models]
        self.adam = self._adam()

    def _adam(self) -> torch.optim.AdamW:
        extra = int(self.stacked)
        body = list(self.body.parameters())
        heads = [parameter for head in self.heads for parameter in head.parameters()]
        matrices = [one for one in body if one.ndim - extra >= 2] + [one for one in heads if one.ndim >= 2]
        known = {id(one) for one in matrices}
        vectors = [one for one in (*body, *heads) if id(one) not in known]
        decay = self.settings.weight_decay
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=self.settings.learning_rate,
            fused=True,
        )

    def epoch(
        self,
        number: int,
        order: Sequence[int],
        steps: int,
        *,
        patches: int | None,
        token_dropout: float,
    ) -> None:
        """Every learner's cases once, in the order given, in as many steps as all others take.

        Each step of a learner has as many cases as its others, or one more.
        """
        place = {row: position for position, row in enumerate(order)}
        parts = []
        for one in self.learners:
            positions = np.argsort([place[int(row)] for row in one.rows], kind="stable")
            parts.append(np.array_split(positions, steps))
        self.body.train()
        readers = [one.reader for one in self.learners]
        for step in range(steps):
            if step + 1 < steps:
                after = self._rows([part[step + 1] for part in parts])
                expect(readers, after, patches, number, self.device)
            self.noise.at(number * STEPS_AN_EPOCH + step)
            self._step([part[step] for part in parts], number, patches, token_dropout)
        self._write_back()

    def _rows(self, chosen: Sequence[NDArray[np.int64]]) -> list[list[int]]:
        return [one.rows[part].tolist() for one, part in zip(self.learners, chosen, strict=True)]

    def _step(
        self, chosen: Sequence[NDArray[np.int64]], epoch: int, patches: int | None, token_dropout: float
    ) -> None:
        readers, rows = [one.reader for one in self.learners], self._rows(chosen)
        batch = side_by_side(readers, rows, patches, epoch, self.device)
        scores = self.body.branch_scores(drop_tokens(batch, token_dropout, self.noise))
        offsets = None if batch.offset is None else batch.offset.chunk(len(chosen))
        total = scores.new_zeros(())
        for place, (one, part, own) in enumerate(
            zip(self.learners, chosen, scores.chunk(len(chosen)), strict=True)
        ):
            if not len(part):
                continue
            # Each branch by itself has to explain what the offset leaves open; else one that learns the
            # training cases by heart would leave nothing for the others to learn.
            at = torch.from_numpy(part)
            total = total + self.heads[place].loss_of_branches(
                own[: len(part)],
                None if offsets is None else offsets[place][: len(part)],
                one.months[at].to(self.device),
                one.event[at].to(self.device),
            )
        self.adam.zero_grad(set_to_none=True)
        total.backward()
        self._clip()
        self.adam.step()

    def _clip(self) -> None:
        """The gradient of each network to at most `CLIP`."""
        for own in self._gradients():
            sizes = torch.stack(torch._foreach_norm(own))
            torch._foreach_mul_(own, (CLIP / (sizes.norm() + 1e-6)).clamp(max=1.0))

    def _gradients(self) -> list[list[Tensor]]:
        """Of each network, its parts of all gradients."""
        found: list[list[Tensor]] = [[] for _ in self.learners]
        for parameter in self.body.parameters():
            if parameter.grad is not None:
                parts = parameter.grad.unbind() if self.stacked else (parameter.grad,)
                for own, part in zip(found, parts, strict=True):
                    own.append(part)
        for own, head in zip(found, self.heads, strict=True):
            own += [parameter.grad for parameter in head.parameters() if parameter.grad is not None]
        return found

    def _write_back(self) -> None:
        body = dict(self.body.named_parameters())
        values = _on_processor(list(body.values()))
        for place, (one, head) in enumerate(zip(self.learners, self.heads, strict=True)):
            own = dict(one.model.named_parameters())
            current = {
                name: value[place] if self.stacked else value
                for name, value in zip(body, values, strict=True)
            } | {f"head.{name}": value for name, value in head.named_parameters()}
            with torch.no_grad():
                torch._foreach_copy_([own[name] for name in current], list(current.values()))

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these learners only."""
        if len(places) == len(self.learners):
            return
        at = torch.tensor(list(places), device=self.device)
        states = [self.adam.state[one] for one in self.body.parameters()]
        heads = [[self.adam.state[one] for one in self.heads[place].parameters()] for place in places]
        self.learners = [self.learners[place] for place in places]
        self.heads = [self.heads[place] for place in places]
        self.noise.seeds = [one.seed for one in self.learners]
        for module in self.body.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(parameter.detach()[at])
        self.adam = self._adam()
        for parameter, state in zip(self.body.parameters(), states, strict=True):
            self.adam.state[parameter] = _some(state, at)
        for head, known in zip(self.heads, heads, strict=True):
            for parameter, state in zip(head.parameters(), known, strict=True):
                self.adam.state[parameter] = state

    def state(self) -> dict[str, Tensor]:
        """What the optimiser knows of each parameter; the parameters themselves are the models'."""
        return {
            f"{number}.{name}": value
            for number, parameter in enumerate(self._parameters())
            for name, value in self.adam.state[parameter].items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` of the same learners."""
        parameters = self._parameters()
        for key, value in state.items():
            number, name = key.split(".", 1)
            self.adam.state[parameters[int(number)]][name] = value.to(self.device)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.adam.param_groups for parameter in group["params"]]


def _on_processor(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Of one kind, and brought there in one piece: a card is waited for once."""
    tensors = [one.detach() for one in tensors]
    if all(one.device == CPU for one in tensors):
        return tensors
    whole = torch.cat([one.flatten() for one in tensors])
    # Memory that is new to a process takes several times as long to send to.
    landed = torch.empty(whole.shape, dtype=whole.dtype, pin_memory=whole.is_cuda).copy_(whole)
    return [
        part.view(one.shape)
        for one, part in zip(tensors, landed.split([one.numel() for one in tensors]), strict=True)
    ]


def _some(state: Mapping[str, Tensor], at: Tensor) -> dict[str, Tensor]:
    return {name: value[at] if value.ndim else value for name, value in state.items()}


def drop_tokens(batch: CaseBatch, chance: float, noise: Noise) -> CaseBatch:
    """The batch with each token absent by `chance`: knowledge and modalities must do without one another.

    Bags are spared: `TrainingConfig.patches` draws among patches already.
    """
    if chance == 0:
        return batch
    tokens: dict[str, Tokens] = {}
    for name, one in batch.tokens.items():
        tokens[name] = one.without(noise.uniform(one.present.shape, one.present.device) < chance)
    return CaseBatch(tokens, batch.background, batch.offset, batch.bags)


@dataclass(frozen=True)
class Prediction:
    """What a network says of some cases: the head's output, each branch's score, and the offset it added to."""

    output: Tensor
    scores: Tensor
    offset: Tensor | None


def predict(
    models: Sequence[SurvivalModel],
    readers: Sequence[CaseReader],
    rows: Sequence[Sequence[int] | NDArray[np.int64]],
    *,
    at_once: int = CASES_AT_ONCE,
    device: torch.device = CPU,
) -> list[Prediction]:
    """What each model forecasts of its cases, from all their patches. No gradient, no dropout.

    Where the models can be put side by side, a bag that several of them look at is read once.
    """
    wanted = [[int(row) for row in some] for some in rows]
    try:
        body: SurvivalModel = stack(list(models), Noise([0] * len(models)))
    except NotStackable:
        if len(models) > 1:
            return [
                predict([model], [reader], [some], at_once=at_once, device=device)[0]
                for model, reader, some in zip(models, readers, wanted, strict=True)
            ]
        body = alone(models[0], Noise([0]))
    body.to(device).eval()
    scores: list[list[Tensor]] = [[] for _ in models]
    offsets: list[list[Tensor]] = [[] for _ in models]
    with torch.inference_mode():
        pieces = _pieces(readers, wanted, at_once)
        for (start, stop), after in zip(pieces, [*pieces[1:], None], strict=True):
            part = [some[start:stop] for some in wanted]
            if after is not None:
                expect(readers, [some[slice(*after)] for some in wanted], None, None, device)
            batch = side_by_side(readers, part, None, None, device)
            said = body.branch_scores(batch).cpu().chunk(len(models))
            known = None if batch.offset is None else batch.offset.chunk(len(models))
            for place, some in enumerate(part):
                scores[place].append(said[place][: len(some)])
                if known is not None:
                    offsets[place].append(known[place][: len(some)].cpu())
            del batch  # else its bags would be held while the next are read
        return [
            _combined(model, torch.cat(own), torch.cat(known) if known else None)
            for model, own, known in zip(models, scores, offsets, strict=True)
        ]


def _combined(model: SurvivalModel, scores: Tensor, offset: Tensor | None) -> Prediction:
    return Prediction(model.combine(scores, offset), scores, offset)


def _pieces(
    readers: Sequence[CaseReader], rows: Sequence[Sequence[int]], at_once: int
) -> list[tuple[int, int]]:
    """Places in the lists of rows, from and to, with not too many cases or patches in each piece."""
    longest = max(map(len, rows))
    pieces, start, patches = [], 0, 0
    for place in range(longest):
        more = sum(
            reader.patches(some[place])
            for reader, some in zip(readers, rows, strict=True)
            if place < len(some)
        )
        if place > start and (place - start >= at_once or patches + more > PATCHES_AT_ONCE):
            pieces.append((start, place))
            start, patches = place, 0
        patches += more
    return [*pieces, (start, longest)] if longest else []
