"""HOW WORK RUNS: the step contract, plan and graph, the run, journal, locks, plugins and the report.

Knows neither Airflow nor AWS and could be published alone; prints nothing.
May import: `programs`, `secrets`, `errors`.
"""
