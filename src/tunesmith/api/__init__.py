"""What ``import tunesmith as ts`` offers, one file an idea. It adds no second way to do a thing: it calls the stages,
the trainer, the builds and the evaluation that recipes use.

model.py         load a model with its chat format; encode, generate, ask
data.py          read and build data
training.py      plan and train
evaluation.py    ask models the same questions; results as a table
recipes.py       run a recipe
extend.py        register metrics, objectives, constraints, cleaning steps and stages of one's own
folders.py       which model a path means        respondents.py    who can be asked: a folder, the hub, a server
checked.py       keyword arguments as settings

The public names stand in ``tunesmith/__init__.py``, which imports these files when a name is first used.
"""
