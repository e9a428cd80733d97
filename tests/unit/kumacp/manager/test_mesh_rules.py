from __future__ import annotations

from kumacp.manager import mesh_rules
from kumamesh.resource import Violation
from kumamesh.resources.mesh import Mesh, Mtls, MtlsBackend


def mesh(enabled: str = "", *backends: MtlsBackend, skip_validation: bool = False) -> Mesh:
    return Mesh(mtls=Mtls(enabled_backend=enabled, backends=backends, skip_validation=skip_validation))


ONE = MtlsBackend(name="ca-1", type="builtin")
TWO = MtlsBackend(name="ca-2", type="builtin")
PROVIDED = MtlsBackend(
    name="ca-3",
    type="provided",
    conf={"cert": {"secret": "my-cert"}, "key": {"secret": "my-key"}, "other": {"inline": "eA=="}},
)


def test_authority_may_not_change_while_mtls_is_on() -> None:
    text = "Changing CA when mTLS is enabled is forbidden. Disable mTLS first and then change the CA"
    assert mesh_rules.update_violations(mesh("ca-1", ONE), mesh("ca-2", TWO)) == (
        Violation("mtls.enabledBackend", text),
    )


def test_other_changes_of_mtls_are_allowed() -> None:
    changes = [
        (Mesh(), mesh("ca-1", ONE)),
        (mesh("ca-1", ONE), Mesh()),
        (mesh("ca-1", ONE), mesh("", ONE)),
        (mesh("", ONE), mesh("ca-2", TWO)),
        (mesh("ca-1", ONE), mesh("ca-1", ONE.model_copy(update={"mode": "PERMISSIVE"}))),
        (mesh("ca-1", ONE), mesh("ca-2", TWO, skip_validation=True)),
    ]
    assert [mesh_rules.update_violations(old, new) for old, new in changes] == [()] * len(changes)


def test_a_backend_that_issues_nothing_is_refused() -> None:
    assert mesh_rules.backend_violations(mesh("ca-1", ONE, TWO)) == ()
    assert mesh_rules.backend_violations(mesh("", ONE, PROVIDED)) == (
        Violation("mtls.backends[1].type", "provided is not served by this version; use builtin"),
    )


def test_secrets_of_a_backend_are_in_use_under_kumas_text() -> None:
    (found,) = mesh_rules.secret_violations("m.ca-builtin-key-ca-1", "m", mesh("", ONE))
    assert found == Violation(
        "name",
        'The secret "m.ca-builtin-key-ca-1" that you are trying to remove is currently in use in Mesh "m"'
        ' in mTLS backend "ca-1". Please remove the reference from the "ca-1" backend before removing the'
        " secret.",
    )


def test_which_secrets_are_in_use() -> None:
    spec = mesh("ca-1", ONE, PROVIDED)
    used = ["m.ca-builtin-cert-ca-1", "m.ca-builtin-key-ca-1", "my-cert", "my-key"]
    free = ["m.ca-builtin-cert-ca-2", "m.ca-builtin-cert-ca-3", "other", "x.ca-builtin-cert-ca-1"]
    assert all(mesh_rules.secret_violations(name, "m", spec) for name in used)
    assert not any(mesh_rules.secret_violations(name, "m", spec) for name in free)
    assert not mesh_rules.secret_violations("m.ca-builtin-cert-ca-1", "m", Mesh())


def test_mesh_with_dataplanes_may_not_be_deleted() -> None:
    assert mesh_rules.delete_violations(0) == ()
    assert mesh_rules.delete_violations(1) == (
        Violation("mesh", "unable to delete mesh, there are still some dataplanes attached"),
    )
