"""WHAT WE DO: observe, then change. One file a step or a few that belong together.

Steps do not import each other; a runtime composes them. May import: `engine`, `tools`, `config` and below.
"""
