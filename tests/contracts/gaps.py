"""Where a contract does not apply: the one place that lets a test of this folder be skipped, with its reason.

pytest prints the table of the runtime under test at the end, and counts it.
"""

from __future__ import annotations

from collections.abc import Mapping

_NO_OBJECTS = "a process has no object with a name of its own that a stranger could have made before"

GAPS: Mapping[str, Mapping[str, str]] = {
    "process": {
        "test_limits_of_the_spec_are_in_force": "the spec of the process runtime has no limits",
        "test_a_changed_limit_restarts_that_component_alone": "the spec of the process runtime has no limits",
        "test_what_a_stranger_made_under_our_names_is_told_and_left_alone": _NO_OBJECTS,
        "test_the_shared_database_server_is_made_again_with_its_data": "each tenant has a SQLite file",
        "test_nothing_of_another_tenant_is_reached_over_the_network": (
            "tenants share the loopback address: passwords and tokens keep them apart, which other tests try"
        ),
        "test_a_database_lets_nobody_in_but_its_tenant": (
            "a SQLite file asks for no password; tests/e2e tries to read another tenant's"
        ),
        "test_components_have_no_rights_on_the_machine": (
            "as root each tenant has a user id of its own; tests/e2e tries what that keeps from it"
        ),
    },
    "docker": {},
}
"""By runtime, then by the name of the test."""
