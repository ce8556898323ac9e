"""Constraints on an answer's form by name: the 25 of IFEval, in English and Chinese. Importing this registers them."""

from tunesmith.evals.constraints import keywords, length, marks, whole
from tunesmith.evals.constraints.check import CHECKS, follows, loosened

__all__ = ["CHECKS", "follows", "keywords", "length", "loosened", "marks", "whole"]
