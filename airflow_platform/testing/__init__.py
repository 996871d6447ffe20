"""HOW TO TEST IT: doubles that refuse what they were not told about, for authors of steps and DAGs.

`reporters` records a run, `stores` keeps locks and journal in memory, `steps` plays steps on a
small world, `runs` runs steps, `specs` makes environments and tenants. docs/plugins.md shows them
in use. `integration` brings up a real Airflow for tests of DAGs, by way of `ordered` (what it is made of),
`bringing_up`, `adapted` (to testcontainers) and `leftovers`; docs/testing.md. May import: `steps` and below.
"""
