"""What papers print: mean C over folds. For orientation: no two stand on the same protocol.

Taken from transcriptions, leaderboards and pages that quote the papers; not read off the papers' own tables.
"""

_MCAT = "5-fold CV on the MCAT splits, ResNet-50 features, last of 20 epochs (released code)"
_BEST = "5-fold CV on the MCAT splits, ResNet-50, epoch chosen on the reported fold (released code)"
_MMP = "5-fold site-stratified CV, UNI features, transformer fusion"
_MMP_BASE = "5-fold site-stratified CV, UNI features, NLL loss, batch size 1"
_PANTHER = "5-fold CV, linear head, CTransPath features (supplement)"
_PANTHER_QUOTED = "row for PANTHER in a later table whose other quoted rows equal the originals"
_SLOT = "5-fold CV, UNI features; epoch rule of the re-runs not stated"
_TTA = "5-fold CV, UNI features; epoch rule not stated"
_STEPH = "UNI2-h features; splits not seen"
_KEMM = "5-fold CV"

_MCAT_OWN = "Chen et al. 2021 (MCAT)"
_MOTCAT_OWN = "Xu & Chen 2023 (MOTCat)"
_CMTA_OWN = "Zhou & Chen 2023 (CMTA)"
_PANTHER_OWN = "Song et al. 2024 (PANTHER)"
_MMP_OWN = "Song et al. 2024 (MMP)"
_KEMM_OWN = "KEMM 2025 (arXiv 2512.14594)"
_MMP_RERUN = "Song et al. 2024 (MMP), re-run of ABMIL"
_H2 = "H2-Surv 2026, quoting PANTHER"
_SLOT_RERUN = "Zhang et al. 2026 (SlotSPE), re-run"
_SLOT_SB = "Zhang et al. 2026 (SlotSPE), re-run of CLAM-SB"
_SLOT_MB = "Zhang et al. 2026 (SlotSPE), re-run of CLAM-MB"
_TTA_RERUN = "TTA 2025 (arXiv 2511.18089), re-run of MOTCat"
_STEPH_RERUN = "Liu et al. 2026 (STEPH), re-run"

PUBLISHED: list[tuple[str, str, float, float | None, str, str, str]] = [
    # the models' own papers
    ("mcat", "BRCA", 0.580, 0.069, "OS", _MCAT, _MCAT_OWN),
    ("motcat", "BRCA", 0.673, 0.006, "OS", _BEST, _MOTCAT_OWN),
    ("motcat", "LUAD", 0.670, 0.038, "OS", _BEST, _MOTCAT_OWN),
    ("cmta", "BRCA", 0.6679, 0.0434, "OS", _BEST, _CMTA_OWN),
    ("cmta", "LUAD", 0.6864, 0.0359, "OS", _BEST, _CMTA_OWN),
    ("panther", "LUAD", 0.672, None, "DSS", _PANTHER, _PANTHER_OWN),
    ("mmp", "BRCA", 0.738, 0.069, "DSS", _MMP, _MMP_OWN),
    ("mmp", "LUAD", 0.642, 0.037, "DSS", _MMP, _MMP_OWN),
    ("mmp", "KIRC", 0.747, 0.106, "DSS", _MMP, _MMP_OWN),
    ("kemm", "BRCA", 0.725, None, "OS", _KEMM, _KEMM_OWN),
    ("kemm", "LUAD", 0.6777, None, "OS", _KEMM, _KEMM_OWN),
    ("kemm", "KIRC", 0.7736, None, "OS", _KEMM, _KEMM_OWN),
    # re-runs and quotations by others
    ("panther", "BRCA", 0.758, None, "DSS", _PANTHER_QUOTED, _H2),
    ("panther", "LUAD", 0.685, None, "DSS", _PANTHER_QUOTED, _H2),
    ("abmil", "BRCA", 0.570, 0.086, "DSS", _MMP_BASE, _MMP_RERUN),
    ("abmil", "LUAD", 0.571, 0.036, "DSS", _MMP_BASE, _MMP_RERUN),
    ("abmil", "KIRC", 0.684, 0.115, "DSS", _MMP_BASE, _MMP_RERUN),
    ("motcat", "BRCA", 0.717, 0.058, "DSS", _TTA, _TTA_RERUN),
    ("motcat", "KIRC", 0.708, 0.109, "DSS", _TTA, _TTA_RERUN),
    ("abmil", "BRCA", 0.6648, 0.032, "DSS", _STEPH, _STEPH_RERUN),
    ("transmil", "BRCA", 0.6802, 0.026, "DSS", _STEPH, _STEPH_RERUN),
    ("snn", "BRCA", 0.645, 0.086, "DSS", _SLOT, _SLOT_RERUN),
    ("snn", "LUAD", 0.652, 0.063, "DSS", _SLOT, _SLOT_RERUN),
    ("snn", "KIRC", 0.754, 0.035, "DSS", _SLOT, _SLOT_RERUN),
    ("abmil", "BRCA", 0.656, 0.037, "DSS", _SLOT, _SLOT_RERUN),
    ("abmil", "LUAD", 0.645, 0.061, "DSS", _SLOT, _SLOT_RERUN),
    ("abmil", "KIRC", 0.782, 0.026, "DSS", _SLOT, _SLOT_RERUN),
    ("transmil", "BRCA", 0.647, 0.032, "DSS", _SLOT, _SLOT_RERUN),
    ("transmil", "LUAD", 0.655, 0.052, "DSS", _SLOT, _SLOT_RERUN),
    ("transmil", "KIRC", 0.767, 0.035, "DSS", _SLOT, _SLOT_RERUN),
    ("clam", "BRCA", 0.696, 0.049, "DSS", _SLOT, _SLOT_SB),
    ("clam", "LUAD", 0.639, 0.059, "DSS", _SLOT, _SLOT_SB),
    ("clam", "KIRC", 0.784, 0.033, "DSS", _SLOT, _SLOT_SB),
    ("clam", "BRCA", 0.715, 0.034, "DSS", _SLOT, _SLOT_MB),
    ("clam", "LUAD", 0.632, 0.070, "DSS", _SLOT, _SLOT_MB),
    ("clam", "KIRC", 0.782, 0.014, "DSS", _SLOT, _SLOT_MB),
    ("porpoise", "BRCA", 0.651, 0.046, "DSS", _SLOT, _SLOT_RERUN),
    ("porpoise", "LUAD", 0.647, 0.091, "DSS", _SLOT, _SLOT_RERUN),
    ("porpoise", "KIRC", 0.788, 0.028, "DSS", _SLOT, _SLOT_RERUN),
    ("mcat", "BRCA", 0.709, 0.052, "DSS", _SLOT, _SLOT_RERUN),
    ("mcat", "LUAD", 0.659, 0.054, "DSS", _SLOT, _SLOT_RERUN),
    ("mcat", "KIRC", 0.795, 0.018, "DSS", _SLOT, _SLOT_RERUN),
    ("motcat", "BRCA", 0.717, 0.064, "DSS", _SLOT, _SLOT_RERUN),
    ("motcat", "LUAD", 0.663, 0.052, "DSS", _SLOT, _SLOT_RERUN),
    ("motcat", "KIRC", 0.799, 0.013, "DSS", _SLOT, _SLOT_RERUN),
    ("cmta", "BRCA", 0.731, 0.066, "DSS", _SLOT, _SLOT_RERUN),
    ("cmta", "LUAD", 0.662, 0.053, "DSS", _SLOT, _SLOT_RERUN),
    ("cmta", "KIRC", 0.794, 0.018, "DSS", _SLOT, _SLOT_RERUN),
    ("survpath", "BRCA", 0.728, 0.040, "DSS", _SLOT, _SLOT_RERUN),
    ("survpath", "LUAD", 0.661, 0.050, "DSS", _SLOT, _SLOT_RERUN),
    ("survpath", "KIRC", 0.787, 0.025, "DSS", _SLOT, _SLOT_RERUN),
    ("mmp", "BRCA", 0.714, 0.050, "DSS", _SLOT, _SLOT_RERUN),
    ("mmp", "LUAD", 0.634, 0.048, "DSS", _SLOT, _SLOT_RERUN),
    ("mmp", "KIRC", 0.770, 0.011, "DSS", _SLOT, _SLOT_RERUN),
]

OWN: set[str] = {_MCAT_OWN, _MOTCAT_OWN, _CMTA_OWN, _PANTHER_OWN, _MMP_OWN, _KEMM_OWN}
