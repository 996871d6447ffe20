"""What a tenant's containers are handed: read from the files that earlier steps made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_platform import secrets
from airflow_platform.config import state_files
from airflow_platform.runtimes.docker import manifest
from airflow_platform.tenants import airflow_settings
from airflow_platform.tenants.contexts import TenantContext
from airflow_platform.tools import certificates

KEYS = (*airflow_settings.KEYS.values(), "snowflake_password", "database_password", "broker_password")


def handed(
    context: TenantContext, place: state_files.EnvironmentFiles, generations: Mapping[str, str]
) -> manifest.TenantContainers:
    """All containers of a tenant; the steps whose outputs are read must be required.

    Args:
        context: Of a step that comes after images, ports, keys, certificates, the database role and the
            DAGs' repository.
        place: Where the environment's files are.
        generations: By component: another text restarts it.
    """
    for made in ("keys", "certificates"):
        context.outputs(made)  # With `--plan` they may be unknown yet, and so are their files.
    mine = place.tenant(context.tenant.name)
    keys = {name: secrets.Secret((mine.keys / name).read_text()) for name in KEYS}
    admin = secrets.Secret(mine.admin_password.read_text())
    context.programs.mask.add(*keys.values(), admin)
    role = context.outputs("database-role")
    return manifest.TenantContainers(
        tenant=context.tenant,
        environment=context.environment,
        at=manifest.Machine(
            owner=str(place.directory),
            port=context.outputs("ports")["airflow"],
            images=context.outputs("images")["images"],
            repository=Path(context.outputs("dag-repository")["repository"]),
            database=role["database"],
            role=role["role"],
        ),
        files=manifest.Files(
            keys=keys,
            passwords=secrets.Secret(mine.passwords.read_text()),
            authorities=(mine.certificates / certificates.BUNDLE).read_text(),
            certificate=(mine.certificates / certificates.CERTIFICATE).read_text(),
            certificate_key=secrets.Secret((mine.certificates / certificates.KEY).read_text()),
        ),
        generations=generations,
    )
