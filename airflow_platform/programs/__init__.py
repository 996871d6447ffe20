"""The only place that starts programs: their deadline, their output, their terminal.

What a program is for is known elsewhere. May import secrets and errors.
"""
