"""The field's networks, written from their papers. Each is one module for one fold; the training loop stacks them."""

from kemm.model.baselines import (
    abmil,
    clam,
    cmta,
    concatenation,
    mcat,
    mmp,
    motcat,
    panther,
    porpoise,
    snn,
    survpath,
    transmil,
)
from kemm.model.baselines.baseline import Baseline, BaselinesConfig

BASELINES: dict[str, Baseline] = {
    module.BASELINE.name: module.BASELINE
    for module in (
        snn,
        abmil,
        clam,
        transmil,
        panther,
        concatenation,
        porpoise,
        mcat,
        motcat,
        cmta,
        survpath,
        mmp,
    )
}
"""By name: of genes, of slides, of both; from the older to the newer."""

__all__ = ["BASELINES", "Baseline", "BaselinesConfig"]
