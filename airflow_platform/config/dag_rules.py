"""What DAGs must keep to: the table `[rules]` of `dags.toml`, the same for every environment."""

from __future__ import annotations

from typing import Annotated

import pydantic

from airflow_platform.config import specs


class Rules(specs.Spec):
    """The limits that `inv dags-check` holds DAG files against."""

    import_seconds: Annotated[float, pydantic.Field(gt=0, le=600)] = 2.0
    """Seconds of processor time that importing one file may take before it is called slow. dag-processor imports
    each file again every few minutes, and a worker before each task; the DAGs here take 0.05."""
    import_deadline: Annotated[int, pydantic.Field(ge=1, le=600)] = 30
    """Seconds after which importing a file is given up: Airflow's own `dagbag_import_timeout`."""
    import_memory: Annotated[int, pydantic.Field(ge=64, le=65536)] = 1024
    """MiB that importing a file may take besides Airflow; a task's worker has 2048 by default, and needs some
    for the task."""
    interval: Annotated[int, pydantic.Field(ge=0, le=86400)] = 60
    """Seconds that lie between two runs of a DAG at least; 0 for no limit. A task takes a second to start, so
    a DAG that runs more often than each minute is always late: sensors and triggers are for that."""
    catchup: bool = False
    """Whether DAGs may run for all the time since their start date; off, because a new one then takes the
    warehouse with hundreds of runs at once."""
    least_retries: Annotated[int, pydantic.Field(ge=0, le=100)] = 1
    """How often a task is tried again at least; once, because a restarted worker fails its tasks. The smoke
    DAG is exempt: what it finds must not be hidden."""
    most_retries: Annotated[int, pydantic.Field(ge=0, le=1000)] = 5
    """How often a task is tried again at most: what failed five times needs somebody to look."""

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Rules:
        if self.most_retries < self.least_retries:
            raise ValueError("most_retries is lower than least_retries")
        return self
