"""Made-up results that look like those of a real run: 480 patients whose risk is known."""

from __future__ import annotations

import numpy as np

from kemm.results.records import (
    AttentionPair,
    Calibration,
    CalibrationPoint,
    CaseStory,
    Cell,
    CohortSummary,
    Curve,
    DecisionCurve,
    Difference,
    Driver,
    Evaluation,
    Explanation,
    FoldSummary,
    ModelResult,
    PlantedSignal,
    RiskGroups,
    RunRecord,
    StatementEffect,
    TimeAUC,
    Truth,
)

MAIN, CLINICAL = "kemm+clinical", "clinical"


def difference(
    value: float, low: float, high: float, *, p: float = 0.012, baseline: str = CLINICAL
) -> Difference:
    return Difference(model=MAIN, baseline=baseline, value=value, low=low, high=high, p=p, cases=480)


def evaluation() -> Evaluation:
    headline = difference(0.029, 0.008, 0.050)
    return Evaluation(
        study="kidney-demo",
        run="2026-02-03-site",
        fold_kind="site-disjoint",
        seeds=[0, 1, 2],
        cohort=cohort(),
        folds=[
            FoldSummary(
                fold=fold,
                train_cases=384 + fold % 2,
                train_events=132 - fold,
                test_cases=96 - fold % 2,
                test_events=33 + fold,
                test_sites=6 + fold,
                shared_site_share=0.0,
            )
            for fold in range(5)
        ],
        models=models(),
        headline=headline,
        differences=[
            headline,
            difference(0.012, -0.009, 0.031, p=0.27, baseline="clinical+report"),
            difference(-0.031, -0.052, -0.007, p=0.0004, baseline="genes"),
        ],
        risk_groups=[risk_groups(MAIN, 1.0), risk_groups(CLINICAL, 0.7), risk_groups("report", 0.4)],
        calibration=[
            calibration(MAIN, 0.94, 0.0),
            calibration(CLINICAL, 0.81, 0.04),
            calibration("report", 1.3, 0.02),
        ],
        decision=decision(),
        time_auc=[
            TimeAUC(
                model=name, months=[12, 24, 36, 48, 60], auc=[top, top - 0.01, top - 0.03, top - 0.02, last]
            )
            for name, top, last in [
                (CLINICAL, 0.76, 0.71),
                (MAIN, 0.81, 0.75),
                ("kemm", 0.77, 0.74),
                ("report", 0.73, None),
            ]
        ],
        truth=Truth(
            true_c=0.803,
            correlation={MAIN: 0.81, "kemm": 0.74, CLINICAL: 0.66, "report": 0.51, "site": 0.03},
            planted=[
                PlantedSignal(
                    name="necrosis present",
                    modality="report",
                    true_effect=0.6,
                    estimated_effect=0.41,
                    found=True,
                ),
                PlantedSignal(
                    name="cell-cycle genes",
                    modality="genes",
                    true_effect=0.5,
                    estimated_effect=0.36,
                    found=True,
                ),
                PlantedSignal(
                    name="lymphocytes",
                    modality="slides",
                    true_effect=-0.4,
                    estimated_effect=-0.22,
                    found=True,
                ),
                PlantedSignal(
                    name="noise genes", modality="genes", true_effect=0.0, estimated_effect=None, found=False
                ),
            ],
        ),
        definitions={
            "harrell_c": "Share of comparable pairs in the right order, combined over folds by their number of pairs.",
            "ibs": "Brier score weighted by the censoring curve of the training part, averaged to 60 months.",
            "ibs_skill": "One minus the integrated Brier score over that of Kaplan-Meier.",
        },
        warnings=["Two folds have fewer than 35 events: their C is uncertain."],
        bootstraps=1000,
    )


def cohort() -> CohortSummary:
    return CohortSummary(
        name="Synthetic kidney cohort",
        endpoint="OS",
        cases=480,
        events=165,
        median_follow_up_months=51.3,
        event_coding="1 = death",
        sites=38,
        modalities={"covariates": 480, "report": 466, "genes": 345, "slides": 402},
        missing={"age": 0, "stage": 12, "grade": 31},
        cancer_types={"KIRC": 480},
        dropped={"no follow-up": 4, "zero months": 2},
        other={
            "Gene groups": "48 used, 2 without a measured gene",
            "Text masked": "1,204 identifiers, 37 outcome sentences",
        },
    )


def models() -> list[ModelResult]:
    def model(
        name: str,
        title: str,
        c: float,
        role: str = "comparator",
        inputs: tuple[str, ...] = (),
        *,
        cases: int = 480,
        skill: float = 0.12,
    ) -> ModelResult:
        events = round(cases * 165 / 480)
        spread = 0.022 if cases == 480 else 0.035

        def cell(value: float, width: float) -> Cell:
            return Cell(
                value=value, sd=spread, low=value - width, high=value + width, cases=cases, events=events
            )

        return ModelResult.model_validate(
            {
                "name": name,
                "title": title,
                "description": f"{title}, fitted on the training part of each fold.",
                "inputs": list(inputs),
                "role": role,
                "metrics": {
                    "harrell_c": cell(c, spread * 1.3),
                    "uno_c": cell(c - 0.01, spread * 1.6),
                    "auc@24": cell(c + 0.02, spread * 1.5),
                    "ibs": cell(0.2 - c / 20, 0.01),
                    "ibs_skill": cell(skill, 0.03),
                    "calibration_slope": cell(0.9 + (c - 0.7), 0.2),
                },
                "fold_c": [c - 0.03, c + 0.02, c - 0.01, c + 0.035, c - 0.012],
            }
        )

    undefined = Cell(reason="fewer than 10 events", cases=21, events=6)
    return [
        model(CLINICAL, "Clinical Cox", 0.752, inputs=("covariates",)),
        model("kemm", "KEMM without covariates", 0.748, "kemm", ("report", "background", "genes", "slides")),
        model(
            MAIN,
            "KEMM with covariates",
            0.781,
            "kemm",
            ("covariates", "report", "background", "genes", "slides"),
            skill=0.19,
        ),
        model("report", "Report only", 0.721, inputs=("report",), cases=466),
        model("genes", "Genes only", 0.671, inputs=("genes",), cases=345, skill=-0.014),
        model("clinical+report", "Clinical and report, linear", 0.769, inputs=("covariates", "report")),
        ModelResult(
            name="slides",
            title="Slides only",
            inputs=["slides"],
            metrics={"harrell_c": undefined, "uno_c": undefined},
            fold_c=[None] * 5,
        ),
        model("age+sex", "Age and sex", 0.612, "control", ("covariates",)),
        model("site", "Site alone", 0.538, "control", ("site",), skill=-0.003),
    ]


def risk_groups(name: str, strength: float) -> RiskGroups:
    draws = np.random.default_rng(7)
    curves = []
    for group, rate in [("high risk", 0.009 * (1 + strength)), ("low risk", 0.009 / (1 + 2 * strength))]:
        times = np.round(draws.exponential(1 / rate, 240), 1)
        censored = np.round(draws.uniform(6, 120, 240), 1)
        curves.append(kaplan_meier(group, np.minimum(times, censored), times <= censored))
    return RiskGroups(
        model=name, curves=curves, logrank_statistic=41.2 * strength, logrank_p=0.00001 / strength
    )


def kaplan_meier(group: str, months: np.ndarray, event: np.ndarray) -> Curve:
    times = np.unique(months)
    at_risk = np.array([(months >= time).sum() for time in times])
    events = np.array([(event & (months == time)).sum() for time in times])
    survival = np.cumprod(1 - events / at_risk)
    width = 1.96 * survival * np.sqrt(np.cumsum(events / np.maximum(at_risk * (at_risk - events), 1)))
    ticks = [0, 24, 48, 72, 96]
    return Curve(
        group=group,
        months=times.tolist(),
        survival=survival.tolist(),
        low=np.maximum(survival - width, 0).tolist(),
        high=np.minimum(survival + width, 1).tolist(),
        at_risk_months=ticks,
        at_risk=[int((months >= tick).sum()) for tick in ticks],
        cases=len(months),
        events=int(event.sum()),
    )


def calibration(name: str, slope: float, bias: float) -> Calibration:
    predicted = np.linspace(0.06, 0.71, 10)
    observed = np.clip(0.3 + slope * (predicted - 0.3) + bias + 0.03 * np.sin(9 * predicted), 0, 1)
    return Calibration(
        model=name,
        horizon_months=36,
        points=[
            CalibrationPoint(predicted=x, observed=y, low=max(y - 0.09, 0), high=min(y + 0.1, 1), cases=48)
            for x, y in zip(predicted.tolist(), observed.tolist(), strict=True)
        ],
        slope=slope,
        ici=0.021 + bias,
    )


def decision() -> DecisionCurve:
    thresholds = np.linspace(0.05, 0.6, 12)
    share = 0.31
    treat_all = share - (1 - share) * thresholds / (1 - thresholds)

    def benefit(sharpness: float) -> list[float | None]:
        return [
            float(x) for x in np.maximum(share * np.exp(-sharpness * thresholds) - 0.01, treat_all + 0.002)
        ]

    return DecisionCurve(
        horizon_months=36,
        thresholds=thresholds.tolist(),
        net_benefit={
            CLINICAL: benefit(3.1),
            MAIN: benefit(2.6),
            "report": [*benefit(3.6)[:-1], None],
            "treat all": treat_all.tolist(),
        },
    )


def explanation() -> Explanation:
    drivers = [
        ("report", "stage group", 0.21, 0.38, 431),
        ("report", "grade", 0.17, 0.29, 452),
        ("report", "necrosis", 0.14, 0.16, 210),
        ("report", "margin", -0.05, 0.06, 388),
        ("report", "sarcomatoid change", 0.19, 0.19, 31),
        ("report", "histological type", -0.02, 0.05, 466),
        ("report", "tumour size", 0.09, 0.14, 440),
        ("report", "lymph nodes", 0.03, 0.08, 241),
        ("report", "sentences without a field", 0.01, 0.04, 466),
        (
            "background",
            "Confluent necrosis and sheets of cells with large nucleoli mark high-risk tumours.",
            0.07,
            0.09,
            466,
        ),
        ("background", "An intact delicate vascular network marks low-risk tumours.", -0.06, 0.07, 466),
        ("genes", "cell cycle", 0.12, 0.2, 345),
        ("genes", "fatty-acid metabolism", -0.08, 0.15, 345),
        ("slides", "cluster 4", 0.02, 0.05, 402),
        ("covariates", "age", 0.02, 0.26, 480),
        ("covariates", "stage", 0.04, 0.41, 480),
    ]
    return Explanation(
        model=MAIN,
        drivers=[
            Driver.model_validate(
                dict(zip(("modality", "name", "mean_effect", "mean_abs_effect", "cases"), row, strict=True))
            )
            for row in drivers
        ],
        attention=[
            AttentionPair(query=query, key=key, weight=weight)
            for query, key, weight in [
                ("grade", "cell cycle", 2.41),
                ("necrosis", "hypoxia response", 2.2),
                ("An intact delicate vascular network marks low-risk tumours.", "angiogenesis", 1.92),
                ("stage group", "epithelial-mesenchymal transition", 1.55),
                ("margin", "cluster 4", 0.82),
            ]
        ],
        cases=[story(number) for number in range(8)],
        notes=["Attention is averaged over 3 seeds and 4 heads."],
    )


def story(number: int) -> CaseStory:
    chosen = ("most certain", "least certain", "highest risk", "lowest risk")[number // 2]
    high = number % 2 == 0
    return CaseStory(
        case=f"KD-{1000 + 37 * number}",
        months=12.4 + 9 * number,
        event=high,
        fold=number % 5,
        risk=1.31 if high else -0.92,
        risk_percentile=93.0 if high else 8.0,
        spread=0.05 + 0.04 * number,
        certainty=chosen,
        survival={"60": 0.34, "12": 0.88, "36": 0.52} if high else {"12": 0.99, "36": 0.95, "60": 0.91},
        covariates={"age": "67", "sex": "female", "stage": "Stage III", "grade": "G4"},
        covariate_effects={"age": 0.11, "stage": 0.38, "sex": -0.04},
        statements=[
            StatementEffect(
                kind="grade",
                text="Tumour grade: G4",
                quote="Furhman nuc1ear grade 4 of 4",
                start=412,
                end=440,
                effect=0.31,
                looked_at=["cell cycle", "DNA repair", "cluster 4"],
            ),
            StatementEffect(
                kind="necrosis",
                text="Tumour necrosis: present",
                quote="extensive areas of coagulative necrosis are identified",
                start=501,
                end=555,
                effect=0.22,
                looked_at=["hypoxia response"],
            ),
            StatementEffect(
                kind="sentence",
                text="The renal vein contains tumour thrombus extending to the margin of resection.",
                quote="The renal vein contains tumour thrombus extending to the margin of resection.",
                start=777,
                end=854,
                effect=0.09,
            ),
            StatementEffect(
                kind="background",
                text="An intact delicate vascular network marks low-risk tumours.",
                effect=-0.06,
                looked_at=["angiogenesis"],
            ),
        ],
        gene_groups=[
            Driver(modality="genes", name="cell cycle", mean_effect=0.19, mean_abs_effect=0.19, cases=1),
            Driver(
                modality="genes",
                name="fatty-acid metabolism",
                mean_effect=-0.11,
                mean_abs_effect=0.11,
                cases=1,
            ),
        ],
        slide_tokens=[
            Driver(modality="slides", name="cluster 4", mean_effect=0.05, mean_abs_effect=0.05, cases=1)
        ],
        missing=[] if high else ["slides"],
    )


def run_record() -> RunRecord:
    return RunRecord(
        study_yaml="study: kidney-demo\ncohort:\n  table: clinical.csv\nfolds:\n  kind: site-disjoint\n  count: 5\n",
        fingerprint="5d2b8f90c1aa34e7",
        environment={"kemm": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "machine": "2 CPU cores"},
        inputs={"clinical.csv": "0f" * 32, "reports.parquet": "a3" * 32},
        background_author="a language model, not reviewed by clinicians",
        started="2026-02-03 10:12",
        seconds={"prepare": 12.4, "encode": 31.0, "train": 214.6, "evaluate": 9.1},
        command="kemm run kidney-demo",
    )
