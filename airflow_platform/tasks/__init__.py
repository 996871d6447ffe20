"""WHAT YOU TYPE: the command line, and what becomes of a command.

`environments`, `images`, `tenants` and `dags` declare the tasks, of 3 to 10 lines each; `program`, `declaring`,
`collection` and `listing` are the command line itself; the others wire runs, judge what came of them and record it.
The only place that knows invoke. Everything heavy is imported inside a task, when it runs. May import: everything.
"""
