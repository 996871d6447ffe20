"""WHAT KEEPS A TENANT RUNNING: a small program that outlives the command which started it.

Standard library only, started as `python -m airflow_platform.runtimes.process.supervisor RUN_DIRECTORY`; knows
nothing of Airflow. May import: nothing else of the toolkit.

    guardian ── supervisor ─┬─ component (a session of its own) ── its children
                            └─ component

The guardian does nothing but outlive a supervisor that was killed, and end what that one left.
"""
