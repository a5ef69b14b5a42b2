"""Metrics of your own, such as the cost of a wrong decision. They are named in params.yaml like any other.

YOURS TO EDIT. A metric is a function of targets, predictions and weights, which returns a value for each set of
weights: so it gets an interval, a comparison and a gate like the others. An example for a target that is true or false:

    def cost(targets: Targets, predictions: Predictions, weights: Weights) -> Floats:
        missed, alarm = targets & (predictions < 0.5), ~targets & (predictions >= 0.5)
        return weights @ (100.0 * missed + 5.0 * alarm) / weights.sum(axis=1)

    METRICS = (OwnMetric("cost", "cost per row", cost, higher_is_better=False),)
"""

from lifecycle.shared.metrics import OwnMetric

METRICS: tuple[OwnMetric, ...] = ()
