"""Survival heads. A head owns its output, its loss, its risk and its curve."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.survival import cox, discrete_time


class SurvivalHead(nn.Module):
    """From a case's score to what is said of its future."""

    scores: int
    """Numbers a score is."""
    outputs: int
    """Numbers the output is."""

    def forward(
        self, score: Float[Tensor, "case score"], offset: Float[Tensor, " case"] | None
    ) -> Float[Tensor, "case output"]:
        """The head's output, which `loss`, `risk` and `survival` take. Higher scores are worse."""
        raise NotImplementedError

    def loss(
        self,
        output: Float[Tensor, "case output"],
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, ""]:
        """The loss over a batch with these outcomes; zero with a gradient where nothing can be learned."""
        raise NotImplementedError

    def loss_of_branches(
        self,
        scores: Float[Tensor, "case branch score"],
        offset: Float[Tensor, " case"] | None,
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, ""]:
        """The sum of the losses that each branch has by itself."""
        losses = [
            self.loss(self(scores[:, branch], offset), months, event) for branch in range(scores.shape[1])
        ]
        return torch.stack(losses).sum()

    def risk(self, output: Float[Tensor, "case output"]) -> Float[Tensor, " case"]:
        """Risk on a log scale, higher = worse."""
        raise NotImplementedError

    def survival(
        self, output: Float[Tensor, "case output"], months: Float[Tensor, " time"]
    ) -> Float[Tensor, "case time"]:
        """Chance of being free of the event at each time.

        Raises:
            ValueError: A time after the follow-up of the training cases.
        """
        raise NotImplementedError

    def start_at(self, months: Float[Tensor, " case"], event: Bool[Tensor, " case"]) -> None:
        """Begin where the training cases' outcomes say; nothing, for a head that need not."""

    def level(
        self,
        output: Float[Tensor, "case output"],
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, " output"]:
        """What added to all outputs makes them right on average for these cases."""
        return output.new_zeros(self.outputs)

    def fit_baseline(
        self,
        output: Float[Tensor, "case output"],
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> None:
        """Fit what the loss leaves open, on these cases. Nothing, for most heads."""


class DiscreteHazards(SurvivalHead):
    """A hazard for each time interval, fitted to the training cases' events.

    With `proportional`, a score is one number that shifts the hazards of all intervals (on the logit scale)
    and the intervals have a common baseline: few parameters, for few patients. Without, there is a
    number for each interval and curves may cross.
    """

    edges: Tensor

    def __init__(self, edges: Float[Tensor, " edge"], *, proportional: bool) -> None:
        super().__init__()
        intervals = len(edges) - 1
        self.scores = 1 if proportional else intervals
        self.outputs = intervals
        self.register_buffer("edges", edges)
        self.baseline = nn.Parameter(torch.full((intervals,), -2.0))

    def start_at(self, months: Float[Tensor, " case"], event: Bool[Tensor, " case"]) -> None:
        """Begin at the training cases' hazards, so that training need not find them."""
        last = discrete_time.interval_of(months, self.edges)
        intervals = torch.arange(len(self.baseline))
        at_risk = (last[:, None] >= intervals).sum(dim=0)
        events = ((last[:, None] == intervals) & event[:, None]).sum(dim=0)
        # Half an event more on each side keeps a hazard of 0 or 1 finite.
        with torch.no_grad():
            self.baseline.copy_(torch.log((events + 0.5) / (at_risk - events + 0.5)))

    def forward(
        self, score: Float[Tensor, "case score"], offset: Float[Tensor, " case"] | None
    ) -> Float[Tensor, "case interval"]:
        """Hazard logits."""
        logits = score + self.baseline
        return logits if offset is None else logits + offset[:, None]

    def loss(
        self,
        output: Float[Tensor, "case interval"],
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, ""]:
        """Negative log-likelihood a case."""
        return discrete_time.negative_log_likelihood(
            output,
            discrete_time.interval_of(months, self.edges),
            event,
            discrete_time.exposure(months, self.edges),
        )

    def loss_of_branches(
        self,
        scores: Float[Tensor, "case branch score"],
        offset: Float[Tensor, " case"] | None,
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, ""]:
        """As a loss of single cases, at once."""
        count = scores.shape[1]
        output = self(
            scores.flatten(0, 1), None if offset is None else offset.repeat_interleave(count, dim=0)
        )
        return count * self.loss(output, months.repeat_interleave(count), event.repeat_interleave(count))

    def level(
        self,
        output: Float[Tensor, "case interval"],
        months: Float[Tensor, " case"],
        event: Bool[Tensor, " case"],
    ) -> Float[Tensor, " interval"]:
        """A shift of each interval's hazards: where they are as many as the events, held near 0 by half an event."""
        return discrete_time.fit_shift(
            output.double(),
            discrete_time.interval_of(months, self.edges),
            event,
            discrete_time.exposure(months, self.edges).double(),
        ).to(output.dtype)

    def risk(self, output: Float[Tensor, "case interval"]) -> Float[Tensor, " case"]:
        """Log of the expected mortality."""
        return discrete_time.expected_mortality(output).log()

    def survival(
        self, output: Float[Tensor, "case interval"], months: Float[Tensor, " time"]
    ) -> Float[Tensor, "case time"]:
        """From the hazards; constant hazard within an interval."""
        return discrete_time.survival_at(output, self.edges, months)


class CoxHead(SurvivalHead):
    """One log risk a case; the curve comes from Breslow's baseline, fitted on the training cases at the end.

    The baseline is kept at a fixed number of steps, `STEPS`, so that a saved head loads into a new one.
    """

    STEPS = 64
    baseline_months: Tensor
    baseline_log_hazard: Tensor
    last_month: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scores = self.outputs = 1
        self.register_buffer("baseline_months", torch.zeros(self.STEPS))
        self.register_buffer("baseline_log_hazard", torch.full((self.STEPS,), -torch.inf))
        self.register_buffer("last_month", torch.zeros(()))

    def forward(
        self, score: Float[Tensor, "case 1"], offset: Float[Tensor, " case"] | None
    ) -> Float[Tensor, "case 1"]:
        """Log risk."""
        return score if offset is None else score + offset[:, None]

    def loss(
        self, output: Float[Tensor, "case 1"], months: Float[Tensor, " case"], event: Bool[Tensor, " case"]
    ) -> Float[Tensor, ""]:
        """Negative log partial likelihood an event; risk sets are within the batch."""
        return cox.partial_likelihood_loss(output[:, 0], months, event)

    def risk(self, output: Float[Tensor, "case 1"]) -> Float[Tensor, " case"]:
        """The log risk itself."""
        return output[:, 0]

    def fit_baseline(
        self, output: Float[Tensor, "case 1"], months: Float[Tensor, " case"], event: Bool[Tensor, " case"]
    ) -> None:
        """Breslow's baseline of the training cases, thinned to `STEPS` steps."""
        baseline = cox.breslow_baseline(output[:, 0], months, event)
        steps = len(baseline.months)
        # The last step at or before each of STEPS evenly spaced ranks; the first is always kept.
        chosen = torch.linspace(0, steps - 1, self.STEPS).round().long()
        self.baseline_months.copy_(baseline.months[chosen])
        self.baseline_log_hazard.copy_(baseline.log_cumulative_hazard[chosen])
        self.last_month.fill_(baseline.last_month)

    def survival(
        self, output: Float[Tensor, "case 1"], months: Float[Tensor, " time"]
    ) -> Float[Tensor, "case time"]:
        """exp(-baseline cumulative hazard x exp(log risk))."""
        baseline = cox.Baseline(
            months=self.baseline_months,
            log_cumulative_hazard=self.baseline_log_hazard,
            last_month=self.last_month.item(),
        )
        return cox.survival_at(output[:, 0], baseline, months)
