"""THE PROGRAMS AND APIS WE DRIVE: one thin, typed file each.

Plain arguments in, frozen dataclasses out, no business and never a spec. May import: `supervisor`,
`programs`, `components`, `secrets`, `errors`.
"""
