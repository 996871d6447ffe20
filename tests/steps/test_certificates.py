"""A tenant's certificates: made, noted, and looked at again only when somebody touched them."""

import datetime
import json
import stat

import pytest

from airflow_platform.tenants import tenant_certificates
from airflow_platform.tools import certificates, users
from tests.steps import calling


@pytest.fixture(autouse=True)
def machines_own(tmp_path, monkeypatch):
    """The machine's certificate authorities, whichever machine this is."""
    (tmp_path / "authorities.pem").write_text("of the machine\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))


@pytest.fixture
def step(place, tenant):
    return tenant_certificates.TenantCertificates(place)


@pytest.fixture
def calls(step):
    """After a first run."""
    made = calling.Calls()
    made.twice(step)
    return made


def test_certificates_are_made_for_the_tenants_user(tenant, step, calls):
    key = tenant.certificates / "server.key"
    assert certificates.faults(tenant.certificates, now=datetime.datetime.now(datetime.UTC)) == ()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert users.of_tenant(tenant.directory) in (None, key.stat().st_uid)
    assert (tenant.certificates / "bundle.pem").read_text().endswith("of the machine\n")


def test_what_was_checked_is_not_read_again(step, calls, monkeypatch):
    monkeypatch.setattr(certificates, "faults", lambda *_, **__: pytest.fail("they were read"))
    assert not calls.run(step).changed


@pytest.mark.parametrize("name", certificates.FILES)
def test_a_file_that_somebody_touched_is_noticed(tenant, step, calls, name):
    before = calls.outputs["certificates"]
    path = tenant.certificates / name
    path.write_bytes(path.read_bytes()[5:])
    again, _ = calls.twice(step)
    assert again.text.startswith("make certificates of its own authority: ")
    assert again.outputs != before


@pytest.mark.parametrize("name", certificates.FILES)
def test_a_lost_file_is_made_anew_with_all_others(tenant, step, calls, name):
    (tenant.certificates / name).unlink()
    again, _ = calls.twice(step)
    assert again.text == "make certificates of its own authority"


def test_a_key_that_others_can_read_is_given_up(tenant, step, calls):
    before = calls.outputs["certificates"]
    (tenant.certificates / "server.key").chmod(0o644)
    again, _ = calls.twice(step)
    assert again.text == "make certificates of its own authority: server.key can be read by others"
    assert again.outputs != before


@pytest.mark.parametrize("text", [None, "", '{"fingerprint": "', "[]", '{"fingerprint": "x", "until": 3}'])
def test_what_a_killed_run_made_is_kept(tenant, step, calls, text):
    noted = tenant.certificates / "checked.json"
    noted.unlink() if text is None else noted.write_text(text)
    before = calls.outputs["certificates"]
    again, _ = calls.twice(step)
    assert again.text == "keep the certificates, which are valid"
    assert again.outputs == before


def test_certificates_are_renewed_before_they_end(tenant, step, calls, monkeypatch):
    until = datetime.datetime.fromisoformat(
        json.loads((tenant.certificates / "checked.json").read_text())["until"]
    )
    monkeypatch.setattr(tenant_certificates, "_now", lambda: until - datetime.timedelta(minutes=1))
    assert not calls.run(step).changed
    monkeypatch.setattr(tenant_certificates, "_now", lambda: until + datetime.timedelta(minutes=1))
    again, _ = calls.twice(step)
    assert "is not valid after" in again.text
