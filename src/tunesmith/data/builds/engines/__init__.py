"""Who does the work of a build: ``local`` on the cores of this machine, ``ray`` on many. The result is the same."""

from tunesmith.data.builds.engines import local, ray
from tunesmith.data.builds.engines.engine import ENGINES, Engine

__all__ = ["ENGINES", "Engine", "local", "ray"]
