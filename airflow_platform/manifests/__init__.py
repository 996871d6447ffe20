"""WHAT AIRFLOW AND ITS SURROUNDINGS ARE TOLD: pure functions from specs to settings and objects.

Environment variables, process lists, connections; later what Kubernetes and Flux are told. No I/O.
May import: `tools` (for its types), `supervisor`, `config` and below.
"""
