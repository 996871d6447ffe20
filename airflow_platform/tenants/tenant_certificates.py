"""The certificates with which a tenant's local services prove who they are."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import TenantContext, TenantStep, owner
from airflow_platform.tools import certificates, files

RENEW_BEFORE = datetime.timedelta(days=30)
"""Certificates that end sooner are renewed, so that a tenant which runs for a month never meets the end."""


@dataclass(frozen=True)
class Observed:
    """What is wrong with the certificates that are there, and their files' digest."""

    faults: tuple[str, ...]
    fingerprint: str
    noted: bool
    """Whether the step has made or checked these very files, and come to its end."""


class TenantCertificates(TenantStep):
    """Outputs: `fingerprint`: another one means that components must restart."""

    name = "certificates"

    def __init__(self, place: state_files.EnvironmentFiles) -> None:
        self._place = place

    def observe(self, context: TenantContext) -> Observed:
        place = self._place.tenant(context.tenant.name)
        directory = place.certificates
        fingerprint = _fingerprint(directory)
        closed = files.fits(directory / certificates.KEY, mode=0o600, owner=owner(place))
        if closed and fingerprint and fingerprint == _checked(directory):
            return Observed((), fingerprint, noted=True)
        found = certificates.faults(directory, now=_now(), days=RENEW_BEFORE.days)
        return Observed(found, fingerprint, noted=False)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.noted:
            return step.NoChange("certificates are valid", {"fingerprint": observed.fingerprint})
        if not observed.faults and observed.fingerprint:
            return step.Change("keep the certificates, which are valid", {"keep": True})
        missing = all(fault.endswith("is missing") for fault in observed.faults)
        why = "" if missing else f": {'; '.join(observed.faults)}"
        return step.Change(f"make certificates of its own authority{why}", {"keep": False})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        directory = place.certificates
        if not change.details["keep"]:
            certificates.create(directory, tenant=context.tenant.name, now=_now())
        user = owner(place)
        key = directory / certificates.KEY
        files.write(key, key.read_bytes(), mode=0o600, owner=user)
        fingerprint = _fingerprint(directory)
        until = certificates.expiry(directory) - RENEW_BEFORE
        checked = {"fingerprint": fingerprint, "until": until.isoformat()}
        files.write(directory / "checked.json", json.dumps(checked), mode=0o600)
        return {"fingerprint": fingerprint}


def _fingerprint(directory: Path) -> str:
    """A digest of all files; "" when one is missing."""
    digest = hashlib.sha256()
    try:
        for name in certificates.FILES:
            digest.update((directory / name).read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()[:16]


def _checked(directory: Path) -> str:
    """The fingerprint of the files that were made and are still long enough valid.

    Reading certificates takes 0.1 s; knowing that nobody touched them since takes nothing.
    """
    try:
        checked = json.loads((directory / "checked.json").read_text())
        until = datetime.datetime.fromisoformat(checked["until"])
        return str(checked["fingerprint"]) if _now() < until else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
