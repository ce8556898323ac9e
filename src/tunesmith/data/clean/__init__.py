"""Cleaning: checks of single rows (``steps``), and comparisons between rows."""

from tunesmith.data.clean.cleaning import Cleaner, Cleaning
from tunesmith.data.clean.near import Prints, PrintsOnDisk, duplicates, prints
from tunesmith.data.clean.novelty import Match, Novelty
from tunesmith.data.clean.step import Step

__all__ = [
    "Cleaner",
    "Cleaning",
    "Match",
    "Novelty",
    "Prints",
    "PrintsOnDisk",
    "Step",
    "duplicates",
    "prints",
]
