"""Runs programs that nobody has read, and judges them where they cannot reach. ``evals/sandbox.py`` is its client.

walls.py      takes every right away from the process that calls it
plain.py      values as plain data, and the line on which two processes call each other's functions with them
answer.py     finds the program in a model's answer
prisoner.py   runs the program, then answers calls of its functions
examiner.py   runs the tests; what they call is a stand-in that asks the prisoner
folder.py     the folder that a program may write in
warden.py     starts prisoner and examiner for each program, watches them, ends them

The warden is a process of its own, and prisoner and examiner are forks of it. This package imports nothing but the
standard library, so that these processes start quickly and hold nothing worth reading.
"""
