"""HOW IT LOOKS: the live board of a terminal, plain lines elsewhere, tables, and the JSON document.

The only place that prints and the only one that knows rich. May import: the engine's reports, the findings of
`rules`, `errors`.
"""
