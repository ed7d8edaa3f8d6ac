"""The search library: suggests configurations, needs numpy and scipy only, does no I/O."""

from rekindle.search.history import Direction, History, Observation, Parent, Trial, TrialState
from rekindle.search.space import Categorical, Continuous, Integer, Space, SpaceError
from rekindle.search.strategy import Proposal, Strategy
from rekindle.search.tuner import SpaceExhausted, Tuner, TunerError

__all__ = [
    "Categorical",
    "Continuous",
    "Direction",
    "History",
    "Integer",
    "Observation",
    "Parent",
    "Proposal",
    "Space",
    "SpaceError",
    "SpaceExhausted",
    "Strategy",
    "Trial",
    "TrialState",
    "Tuner",
    "TunerError",
]
