"""The configuration of kumactl (contract 9.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumactl.configuration import Configuration, Context, ControlPlane, check_control_plane
from kumactl.configuration_document import from_document, to_document
from kumamesh.errors import UserError

FULL = ControlPlane(
    name="global",
    url="https://cp:5682",
    ca_cert_file="/ca.pem",
    skip_verify=True,
    client_cert_file="/c.pem",
    client_key_file="/k.pem",
    headers={"x-team": "secret-header"},
    auth_type="tokens",
    auth_conf={"token": "secret-token"},
)


def test_without_a_file_there_is_the_local_control_plane():
    configuration = Configuration()
    assert configuration.control_plane() == ControlPlane("local", "http://localhost:5681")
    assert configuration.mesh() == "default"


def test_the_shape_of_the_file():
    configuration = Configuration((FULL,), (Context("ctx", "global", "m"),), "ctx")
    assert to_document(configuration) == {
        "controlPlanes": [
            {
                "name": "global",
                "coordinates": {
                    "apiServer": {
                        "url": "https://cp:5682",
                        "caCertFile": "/ca.pem",
                        "skipVerify": True,
                        "clientCertFile": "/c.pem",
                        "clientKeyFile": "/k.pem",
                        "headers": [{"key": "x-team", "value": "secret-header"}],
                        "authType": "tokens",
                        "authConf": {"token": "secret-token"},
                    }
                },
            }
        ],
        "contexts": [{"name": "ctx", "controlPlane": "global", "defaults": {"mesh": "m"}}],
        "currentContext": "ctx",
    }
    assert configuration.mesh() == "m"


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
PLANES = st.builds(
    ControlPlane,
    name=NAMES,
    url=NAMES,
    skip_verify=st.booleans(),
    headers=st.dictionaries(NAMES, NAMES, max_size=2),
)


@given(st.lists(PLANES, max_size=3), st.lists(st.builds(Context, NAMES, NAMES, NAMES), max_size=3), NAMES)
def test_what_is_written_is_read_back(planes, contexts, current):
    configuration = Configuration(tuple(planes), tuple(contexts), current)
    assert from_document(to_document(configuration)) == configuration


def test_secrets_are_hidden_when_shown():
    configuration = Configuration((FULL,), (), "")
    shown = str(to_document(configuration, hide_secrets=True))
    assert "secret-token" not in shown
    assert "secret-header" not in shown
    assert "secret" not in repr(configuration)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"controlplanes": []}, "unknown key controlplanes; did you mean controlPlanes?"),
        ({"controlPlanes": {}, "contexts": 5}, "contexts must be a list"),
        ({"controlPlanes": [5]}, "controlPlanes[0] must be an object"),
        (
            {"controlPlanes": [{"coordinates": {"apiServer": {"urls": "x"}}}]},
            "unknown key controlPlanes[0].coordinates.apiServer.urls; did you mean url?",
        ),
        (
            {"controlPlanes": [{"coordinates": {"apiServer": {"skipVerify": "yes"}}}]},
            "controlPlanes[0].coordinates.apiServer.skipVerify must be true or false",
        ),
        ({"currentContext": 5}, "currentContext must be a text"),
        (
            {"controlPlanes": [{"coordinates": {"apiServer": {"authConf": {"token": 1}}}}]},
            "must be an object of texts",
        ),
    ],
)
def test_a_wrong_file_is_told_by_path(document, message):
    with pytest.raises(UserError) as refused:
        from_document(document)
    assert message in str(refused.value)


def test_adding_makes_it_active_and_keeps_the_others():
    configuration = Configuration().add(FULL, overwrite=False)
    assert [plane.name for plane in configuration.control_planes] == ["local", "global"]
    assert configuration.control_plane() == FULL


def test_a_name_is_taken_over_only_on_request():
    configuration = Configuration().add(FULL, overwrite=False)
    other = ControlPlane("global", "http://other:5681")
    with pytest.raises(UserError, match="Use --overwrite to replace"):
        configuration.add(other, overwrite=False)
    replaced = configuration.add(other, overwrite=True)
    assert replaced.control_plane() == other
    assert len(replaced.control_planes) == 2


def test_switching_and_removing():
    configuration = Configuration().add(FULL, overwrite=False).switch("local")
    assert configuration.control_plane().name == "local"
    without = configuration.remove("local")
    assert without.control_plane() == FULL
    assert configuration.remove("global").control_plane().name == "local"
    empty = without.remove("global")
    assert empty.current_context == ""
    with pytest.raises(UserError, match="no active Control Plane"):
        empty.control_plane()


def test_switching_to_one_without_context_makes_one():
    configuration = Configuration((ControlPlane("a", "http://a"),), (), "")
    assert configuration.switch("a").control_plane().name == "a"


@pytest.mark.parametrize("change", [Configuration.switch, Configuration.remove])
def test_an_unknown_name_names_the_nearest(change):
    with pytest.raises(UserError, match=r'no Control Plane with name "locl"; did you mean local\?'):
        change(Configuration(), "locl")


def test_a_context_of_a_lost_control_plane_is_told():
    with pytest.raises(UserError, match="which is not configured"):
        Configuration((), (Context("c", "gone"),), "c").control_plane()


@pytest.mark.parametrize(
    "url", ["", "localhost:5681", "ftp://a", "http://", "http://a:port", "http://a:99999", "http://[::1"]
)
def test_addresses_that_cannot_work_are_refused(url):
    with pytest.raises(UserError, match="is not valid; write it as"):
        check_control_plane(ControlPlane("a", url))


@pytest.mark.parametrize("url", ["http://a", "http://localhost:5681", "https://[::1]:5682", "http://a/base"])
def test_addresses_that_can_work_are_taken(url):
    check_control_plane(ControlPlane("a", url))


def test_half_given_credentials_are_refused():
    with pytest.raises(UserError, match="go together"):
        check_control_plane(ControlPlane("a", "https://a", client_cert_file="c.pem"))
    with pytest.raises(UserError, match="needs a token"):
        check_control_plane(ControlPlane("a", "https://a", auth_type="tokens"))


def test_the_token_is_sent():
    assert FULL.request_headers() == {"x-team": "secret-header", "Authorization": "Bearer secret-token"}
    assert ControlPlane("a", "http://a").request_headers() == {}
    with pytest.raises(UserError, match="unknown authentication type"):
        ControlPlane("a", "http://a", auth_type="other").request_headers()
