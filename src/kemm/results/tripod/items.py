"""The items of TRIPOD+AI by their published numbers, each in our own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Applies = Literal["D;E", "D", "E"]
"""To the development of a model, to its evaluation, or to both."""


@dataclass(frozen=True)
class Item:
    """One thing that a report must say."""

    number: str
    """As published: "12c"."""
    section: str
    topic: str
    applies: Applies
    asks: str


def _items(section: str, *rows: tuple[str, str, Applies, str]) -> tuple[Item, ...]:
    return tuple(Item(number, section, topic, applies, asks) for number, topic, applies, asks in rows)


ITEMS: tuple[Item, ...] = (
    *_items(
        "Title",
        ("1", "Title", "D;E", "Does the title say that a model is developed or evaluated, for whom, and what it predicts?"),
    ),
    *_items(
        "Abstract",
        ("2", "Abstract", "D;E", "Does the abstract follow the separate list for abstracts?"),
    ),
    *_items(
        "Introduction",
        ("3a", "Background", "D;E", "Why is the model needed in care, is it diagnostic or prognostic, and which models exist?"),
        ("3b", "Background", "D;E", "For which patients is it meant, at which point of their care, and who would use it?"),
        ("3c", "Background", "D;E", "Which inequalities in health between social groups are known here?"),
        ("4", "Objectives", "D;E", "What was the aim: to develop, to evaluate, or both?"),
    ),
    *_items(
        "Methods",
        ("5a", "Data", "D;E",
         "Where do the data for development and evaluation come from, why these, and whom do they represent?"),
        ("5b", "Data", "D;E", "When did inclusion begin and end, and until when were patients followed?"),
        ("6a", "Participants", "D;E", "In what kind of care, in how many centres, and where?"),
        ("6b", "Participants", "D;E", "Who could take part, and who was left out?"),
        ("6c", "Participants", "D;E", "Which treatments were given, and how does the analysis deal with them?"),
        ("7", "Data preparation", "D;E", "How were data processed and checked, and was that alike for all social groups?"),
        ("8a", "Outcome", "D;E",
         "What is predicted, up to when, how was it assessed, why this, and was it assessed alike in all groups?"),
        ("8b", "Outcome", "D;E", "If judging the outcome takes interpretation: who judged, with which training and background?"),
        ("8c", "Outcome", "D;E", "Was anything done so that the outcome was judged blindly?"),
        ("9a", "Predictors", "D", "How were the first predictors chosen, and were any selected before modelling?"),
        ("9b", "Predictors", "D;E",
         "What exactly is each predictor, how and when was it measured, and was that blind to the outcome?"),
        ("9c", "Predictors", "D;E",
         "If measuring a predictor takes interpretation: who measured, with which training and background?"),
        ("10", "Sample size", "D;E", "How was the number of patients arrived at, and is it enough for the question?"),
        ("11", "Missing data", "D;E", "How were missing values dealt with, and why were any data left out?"),
        ("12a", "Analysis", "D", "Which data were used for what, and how were they divided?"),
        ("12b", "Analysis", "D", "In which form did predictors enter: scales, transformations, functional forms?"),
        ("12c", "Analysis", "D", "What kind of model, why, by which steps and tuning, and how was it validated internally?"),
        ("12d", "Analysis", "D;E", "How were differences between clusters, such as hospitals, dealt with and measured?"),
        ("12e", "Analysis", "D;E", "By which measures and plots was performance judged, and models compared?"),
        ("12f", "Analysis", "E", "Was the model updated or recalibrated after evaluation, for everyone or for some?"),
        ("12g", "Analysis", "E", "How were the predictions that were evaluated calculated?"),
        ("13", "Class imbalance", "D;E", "Was imbalance corrected, why, how, and was the model recalibrated afterwards?"),
        ("14", "Fairness", "D;E", "What was done for fairness of the model, and why?"),
        ("15", "Model output", "D", "What does the model give out, and how were thresholds chosen where it classifies?"),
        ("16", "Training against evaluation", "D;E",
         "How do the data of development and evaluation differ in setting, criteria, outcome and predictors?"),
        ("17", "Ethics", "D;E", "Which committee approved the study, and how was consent given or waived?"),
    ),
    *_items(
        "Open science",
        ("18a", "Funding", "D;E", "Who paid, and what part did they play?"),
        ("18b", "Conflicts of interest", "D;E", "Which interests do the authors declare?"),
        ("18c", "Protocol", "D;E", "Where is the protocol, or was there none?"),
        ("18d", "Registration", "D;E", "Where is the study registered, under which number, or is it not?"),
        ("18e", "Data sharing", "D;E", "Can others have the data, and how?"),
        ("18f", "Code sharing", "D;E", "Can others have the code of the analysis, and how?"),
    ),
    *_items(
        "Patients and the public",
        ("19", "Involvement", "D;E", "How did patients and the public take part in the study, or did they not?"),
    ),
    *_items(
        "Results",
        ("20a", "Participants", "D;E", "How many came in, how many had the outcome, and how long were they followed?"),
        ("20b", "Participants", "D;E",
         "What are the patients like, overall and by source, with what is missing, and by social group?"),
        ("20c", "Participants", "E", "How do patients of the evaluation compare with those of the development?"),
        ("21", "Model development", "D;E", "How many patients and events stand behind each analysis?"),
        ("22", "Model specification", "D", "Is the whole model given, so that others can predict with it, and on which terms?"),
        ("23a", "Model performance", "D;E", "How well does it perform, with confidence intervals, also in important subgroups?"),
        ("23b", "Model performance", "D;E", "If looked at: how much does performance differ between clusters?"),
        ("24", "Model updating", "E", "What came of updating: the new model, and how it performs?"),
    ),
    *_items(
        "Discussion",
        ("25", "Interpretation", "D;E", "What do the results mean for the aims, for fairness, and beside earlier studies?"),
        ("26", "Limitations", "D;E", "What limits the study, and what does that do to bias, uncertainty and generality?"),
        ("27a", "Use in care", "D", "What is to be done where an input is poor or not to be had?"),
        ("27b", "Use in care", "D", "Must users handle inputs or the model, and what must they know for it?"),
        ("27c", "Use in care", "D;E", "What should be studied next, above all on where else the model holds?"),
    ),
)  # fmt: skip
"""27 main items, 52 with their parts, in the published order."""
