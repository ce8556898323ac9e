"""Which rows stand in which global batch, for a whole run, from lengths and a seed alone."""

from tunesmith.plan.plan import Item, Plan, PlanReport, Row
from tunesmith.plan.rng import generator, seed_of
from tunesmith.plan.store import TokenStore

__all__ = ["Item", "Plan", "PlanReport", "Row", "TokenStore", "generator", "seed_of"]
