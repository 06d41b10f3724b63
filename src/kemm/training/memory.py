"""How much memory a training step will need, before it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kemm.model.pooling import LARGEST_KEPT
from kemm.training.crossval import Crossval
from kemm.training.together import PATCHES_AT_ONCE

FLOAT = 4


@dataclass(frozen=True)
class StepMemory:
    """What the patches of a step take, in bytes; the process itself and all other inputs come on top."""

    step: int
    """Of training: the features of its bags, and for each network what its adapter makes of them, kept for the way
    back."""
    prediction: int
    """When the held-out cases are predicted, after each epoch."""
    patches: int
    """Of a case in a training step, the most."""
    cases: int
    """Whose bags a step reads."""
    features: int
    """Numbers a patch."""
    networks: int
    width: int

    @property
    def peak(self) -> int:
        """The larger of the two."""
        return max(self.step, self.prediction)


def step_memory(context: Crossval) -> StepMemory | None:
    """Of one unit of the main model; None where no patches are read.

    Counted: features as they are stored, once for all networks; each network's adapted patches, of its own cases, as
    far as they are kept for the way back.
    Not counted: attention's scores and one bag's work, which come and go.
    """
    slides, training, model = context.data.slides, context.training, context.model
    if slides is None or not any(spec.is_network and "slides" in spec.inputs for spec in context.models):
        return None
    lengths = np.diff(slides.offsets)
    drawn = lengths if training.patches is None else np.minimum(lengths, training.patches)
    parts = 1 if training.selection != "inner" else training.inner_parts
    # All networks go through the training cases in one order, each without its held-out part.
    cases = -(-max(len(fold.train) for fold in context.folds) // context.steps)
    own = cases * (1 - 1 / parts) if parts > 1 else cases
    networks = len(training.seeds) * parts
    mean, width = float(drawn.mean()), 0 if model.linear_adapter else model.width
    at_once = min(max(PATCHES_AT_ONCE, int(lengths.max())), int(lengths.sum()))
    stored = slides.features.dtype.itemsize if slides.means is not None else FLOAT
    adapted = min(mean * networks * own * width * FLOAT, LARGEST_KEPT)
    return StepMemory(
        step=round(mean * cases * slides.width * stored + adapted),
        prediction=at_once * (slides.width * stored + width * FLOAT),
        patches=int(drawn.max()),
        cases=cases,
        features=slides.width,
        networks=networks,
        width=model.width,
    )
