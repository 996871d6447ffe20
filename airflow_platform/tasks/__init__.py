"""WHAT YOU TYPE: Invoke tasks of 3 to 10 lines that parse, wire and exit.

The only place that knows invoke. Everything heavy is imported inside a task, when it runs.
"""
