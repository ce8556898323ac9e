"""A plug-in of tunesmith: one file for the reader, one for the metric, one for the objective."""
