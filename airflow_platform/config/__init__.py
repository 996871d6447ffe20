"""WHAT SHOULD EXIST: frozen, typed specs, where they are loaded from, and where state and cache live.

No I/O beyond reading files; pydantic is known only here. May import: `components`, `secrets`,
`errors`.
"""
