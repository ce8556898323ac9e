"""The readers of files that everybody has. Importing this package registers them in ``READERS``.

The reader of the little world registers itself when ``tunesmith.littleworld`` is imported.
"""

from tunesmith.data.readers import csv, jsonl

__all__ = ["csv", "jsonl"]
