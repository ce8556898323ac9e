"""The objectives, one file each. Importing this package registers every one of them: whoever adds a file is done."""

from importlib import import_module
from pkgutil import iter_modules

from tunesmith.train.objective import OBJECTIVES

__all__ = ["OBJECTIVES"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
