"""What our words about an engine mean, on the engine in memory and on a real one."""

import contextlib
import io
import signal
import socket
import tarfile
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker import context

from airflow_platform import errors, secrets
from airflow_platform.programs import programs
from airflow_platform.tools.containers import containers, engine, engine_session
from airflow_platform.tools.containers.spec import Container, File
from tests.doubles import containers as testing

MARK = {"airflow-platform.test": uuid.uuid4().hex}
SLEEP = ("/bin/busybox", "sleep", "60")
ECHO = ("/bin/busybox", "echo", "hello")
FAIL = ("/bin/busybox", "sh", "-c", "echo no; exit 3")
ENDLESS = ("/bin/busybox", "yes", "still here")


@pytest.fixture(scope="session")
def image():
    """An image that holds busybox and nothing else."""
    with engine.connected(None) as client:
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            archive.add("/bin/busybox", "busybox")
            recipe = b"FROM scratch\nADD busybox /bin/busybox\nUSER 50000\n"
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe)
            archive.addfile(entry, io.BytesIO(recipe))
        context.seek(0)
        built, _ = client.images.build(fileobj=context, custom_context=True, labels=MARK, rm=True)
        yield built.id
        client.images.remove(built.id, force=True)


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.docker)])
def there(request):
    """An engine, an image of it, and a name that is ours alone; all that was made is gone at the end."""
    name = f"airflow-platform-test-{uuid.uuid4().hex[:8]}"
    if request.param == "in memory":
        world = testing.World(images={"sha256:1"})
        world.programs = {ECHO: (0, "hello"), FAIL: (3, "no"), ENDLESS: (None, "still here\n" * 9)}
        yield world.engine(), "sha256:1", name
        return
    found = request.getfixturevalue("image")
    with engine_session.opened(None) as made:
        try:
            yield made, found, name
        finally:
            for each in made.containers.found(MARK):
                made.containers.remove(each.name, timeout=0)
            made.networks.remove(name, MARK)
            made.networks.remove(f"{name}-2", MARK)
            made.volumes.remove(name)


def container(there, **fields):
    _, image, name = there
    return Container(**{"name": name, "image": image, "command": SLEEP, "labels": MARK, **fields})


def test_a_container_is_found_by_its_labels_and_its_name(there):
    made, image, name = there
    spec = container(there)
    made.containers.start(spec)
    (found,) = made.containers.found(MARK)
    assert found == made.containers.named(name)
    assert (found.name, found.image, found.state, found.digest) == (name, image, "running", spec.digest())
    assert found.started_at > 0
    assert found.last_exit == ""
    assert made.containers.found({**MARK, "another": "label"}) == ()
    assert made.containers.named(f"{name}-x") is None


def test_a_name_that_is_taken_is_refused_and_what_has_it_stays(there):
    made, _, name = there
    made.containers.start(container(there))
    before = made.containers.named(name)
    with pytest.raises(engine.EngineError) as raised:
        made.containers.start(container(there, hostname="another"))
    assert raised.value.status == 409
    assert made.containers.named(name) == before


def test_an_image_that_is_not_there_is_told_and_nothing_is_left(there):
    made, _, name = there
    with pytest.raises(engine.EngineError) as raised:
        made.containers.start(container(there, image="sha256:" + "0" * 64))
    assert raised.value.status == 404
    assert made.containers.named(name) is None


def test_removing_is_done_once_and_again_does_nothing(there):
    made, _, name = there
    made.containers.start(container(there))
    made.containers.remove(name, timeout=0)
    made.containers.remove(name, timeout=0)
    assert made.containers.named(name) is None


def test_a_program_runs_to_its_end_and_leaves_no_container(there):
    made, _, name = there
    news = []
    ended = run(there, ECHO, progress=news.append)
    assert (ended.code, ended.tail, news) == (0, ("hello",), ["hello"])
    failed = run(there, FAIL)
    assert (failed.code, failed.tail) == (3, ("no",))
    assert made.containers.named(name) is None


def run(there, command, *, timeout=30.0, interruption=None, progress=lambda line: None):
    made, _, _ = there
    return made.containers.run(
        container(there, command=command, restarts=False),
        timeout=timeout,
        interruption=interruption or programs.Interruption(),
        progress=progress,
    )


def test_a_program_that_goes_on_printing_is_ended_in_time_and_leaves_no_container(there):
    made, _, name = there
    with pytest.raises(engine.EngineError, match="did not end within 1 s"):
        run(there, ENDLESS, timeout=1)
    assert made.containers.named(name) is None


def test_a_signal_ends_it_while_it_prints(there):
    made, _, name = there
    interruption = programs.Interruption()
    with pytest.raises(errors.Interrupted):
        run(
            there,
            ENDLESS,
            interruption=interruption,
            progress=lambda line: interruption.request(signal.SIGTERM),
        )
    assert made.containers.named(name) is None


def test_a_program_in_a_running_container(there):
    made, _, name = there
    made.containers.start(container(there))
    printed = []
    code = made.containers.execute(
        name, ECHO, on_output=lambda is_error, data: printed.append((is_error, data.strip()))
    )
    assert (code, printed) == (0, [(False, b"hello")])
    assert made.containers.execute(name, FAIL, on_output=lambda is_error, data: None) == 3


def test_a_program_in_a_container_is_waited_for_until_its_time_is_over_or_a_signal_comes(there):
    made, _, name = there
    made.containers.start(container(there))
    with pytest.raises(engine.EngineError, match="did not end within 1 s"):
        made.containers.execute(name, ENDLESS, on_output=lambda is_error, data: None, timeout=1)
    interruption = programs.Interruption()
    with pytest.raises(errors.Interrupted):
        made.containers.execute(
            name,
            ENDLESS,
            on_output=lambda is_error, data: interruption.request(signal.SIGTERM),
            interruption=interruption,
        )


def test_networks_are_made_connected_and_removed(there):
    made, _, name = there
    assert made.networks.named(name) is None
    made.networks.make(name, MARK)
    assert made.networks.named(name).labels == MARK
    with pytest.raises(engine.EngineError) as raised:
        made.networks.make(name, MARK)
    assert raised.value.status == 409
    made.networks.make(f"{name}-2", MARK)
    made.containers.start(container(there, network=name))
    assert [each.name for each in made.networks.found(MARK)] == [name, f"{name}-2"]
    assert made.networks.found({**MARK, "another": "label"}) == ()
    made.networks.connect(f"{name}-2", name, "alias")
    made.networks.connect(f"{name}-2", name, "alias")
    assert made.containers.named(name).networks == (name, f"{name}-2")
    made.networks.remove(f"{name}-2", MARK)
    made.networks.remove(f"{name}-2", MARK)
    assert made.networks.named(f"{name}-2") is None
    assert made.containers.named(name).networks == (name,)


@pytest.mark.parametrize("state", ["runs", "has ended"])
def test_a_network_that_a_stranger_is_in_stays_with_all_that_are_in_it(there, state):
    made, _, name = there
    made.networks.make(name, MARK)
    made.containers.start(container(there, network=name, command=SLEEP if state == "runs" else ECHO))
    with pytest.raises(engine.EngineError, match=f"containers of others are in it: {name}") as raised:
        made.networks.remove(name, {"airflow-platform.test": "another's"})
    assert f"`docker network disconnect {name} {name}`" in raised.value.hint
    assert made.containers.named(name).networks == (name,)


def test_volumes_are_made_and_removed_when_nobody_uses_them(there):
    made, _, name = there
    made.volumes.make(name, MARK)
    assert made.volumes.named(name).labels == MARK
    made.containers.start(container(there, volumes={"/data": name}))
    with pytest.raises(engine.EngineError) as raised:
        made.volumes.remove(name)
    assert raised.value.status == 409
    made.containers.remove(name, timeout=0)
    made.volumes.remove(name)
    made.volumes.remove(name)
    assert made.volumes.named(name) is None


def test_an_engine_keeps_its_id(there):
    made, _, _ = there
    assert made.identity() == made.identity() != ""


def test_a_port_that_the_engine_chooses_is_told(there):
    made, _, name = there
    made.networks.make(name, MARK)
    made.containers.start(container(there, ports={5432: 0}, network=name))
    assert made.containers.named(name).ports[5432] > 1024


@pytest.mark.docker
def test_files_are_put_in_before_the_start_and_belong_to_their_user(image):
    name = f"airflow-platform-test-{uuid.uuid4().hex[:8]}"
    look = (
        "/bin/busybox",
        "sh",
        "-c",
        "busybox stat -c '%u %a' /run/a/b/secret; busybox cat /run/a/b/secret",
    )
    spec = Container(
        name=name,
        image=image,
        command=("/bin/busybox", "sh", "-c", look[3].replace("busybox ", "/bin/busybox ")),
        files={"/run/a/b/secret": File(secrets.Secret("of nobody else"), mode=0o600)},
        owner=50000,
        labels=MARK,
        restarts=False,
    )
    with engine_session.opened(None) as made:
        # A root without capabilities may not read what belongs to another: as in our own containers.
        ended = made.containers.run(
            spec, timeout=30, interruption=programs.Interruption(), progress=lambda line: None
        )
        assert ended.tail[0] == "50000 600"
        with engine.connected(None) as client:
            assert "of nobody else" not in str(client.api.containers(all=True))


@pytest.mark.docker
def test_ports_are_published_on_the_loopback_address_only_and_limits_are_in_force(image):
    name = f"airflow-platform-test-{uuid.uuid4().hex[:8]}"
    spec = Container(
        name=name, image=image, command=SLEEP, ports={80: 0}, memory=64 * 1024**2, cpus=0.5, labels=MARK
    )
    with engine_session.opened(None) as made, engine.connected(None) as client:
        made.networks.make(name, MARK)
        try:
            made.containers.start(Container(**{**vars(spec), "network": name, "hostname": "alias"}))
            described = client.api.inspect_container(name)
        finally:
            made.containers.remove(name, timeout=0)
            made.networks.remove(name, MARK)
    host = described["HostConfig"]
    assert [at["HostIp"] for at in described["NetworkSettings"]["Ports"]["80/tcp"]] == ["127.0.0.1"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 * 1024**2, 64 * 1024**2, 500_000_000)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert "alias" in described["NetworkSettings"]["Networks"][name]["Aliases"]


@pytest.mark.docker
def test_more_cores_than_the_engine_has_are_all_of_them(image):
    """An engine refuses a container that is to have more: ours have two by default, and some machines one."""
    name = f"airflow-platform-test-{uuid.uuid4().hex[:8]}"
    with engine_session.opened(None) as made, engine.connected(None) as client:
        made.containers.start(Container(name=name, image=image, command=SLEEP, cpus=1000, labels=MARK))
        try:
            described = client.api.inspect_container(name)
        finally:
            made.containers.remove(name, timeout=0)
        assert described["HostConfig"]["NanoCpus"] == client.api.info()["NCPU"] * 1_000_000_000


@pytest.mark.parametrize(("wanted", "limit"), [(2.0, 1_000_000_000), (0.5, 500_000_000), (0.0, None)])
def test_a_machine_with_one_core_runs_containers_that_may_have_two(wanted, limit):
    client = SimpleNamespace(api=SimpleNamespace(info=lambda: {"NCPU": 1}))
    spec = Container(name="x", image="y", cpus=wanted)
    assert containers.nano_cpus(client, spec) == limit


@pytest.fixture
def home(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(engine, "LOCAL", f"unix://{tmp_path}/docker.sock")
    return tmp_path


def test_sockets_are_found_that_are_not_roots_own(home: Path, monkeypatch):
    assert engine.address(None) == f"unix://{home}/docker.sock"
    desktop = home / engine.DESKTOP
    desktop.parent.mkdir(parents=True)
    desktop.touch()
    assert engine.address(None) == f"unix://{desktop}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    assert engine.address(None) == f"unix://{desktop}"
    (home / "run").mkdir()
    (home / "run" / "docker.sock").touch()
    assert engine.address(None) == f"unix://{home}/run/docker.sock"
    (home / "docker.sock").touch()
    assert engine.address(None) == f"unix://{home}/docker.sock"
    assert engine.address("tcp://127.0.0.1:2375") == "tcp://127.0.0.1:2375"


def test_the_current_context_of_dockers_programs_is_followed(home: Path, monkeypatch):
    """Made by Docker's own library, which has the same files as its programs."""
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text('{"auths": {}, "currentContext": "rootless"}')
    for name in ("rootless", "other"):
        context.Context(name, host=f"unix:///run/{name}.sock").save()
    (meta,) = (each for each in home.rglob("meta.json") if "rootless" in each.read_text())
    meta.write_text(meta.read_text().replace("http+unix", "unix"))  # As its programs have it.
    assert engine.address(None) == "unix:///run/rootless.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert engine.address(None) == "unix:///run/other.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine.address(None) == f"unix://{home}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/said.sock")
    assert engine.address(None) == "unix:///run/said.sock"


@pytest.mark.parametrize("config", ["{", "[]"])
def test_settings_of_docker_that_say_nothing_are_no_obstacle(home: Path, config):
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(config)
    assert engine.address(None) == f"unix://{home}/docker.sock"


def test_a_context_that_is_not_there_is_told(home: Path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    found = engine.fault(None)
    assert found is not None
    assert found.cause == "Docker's current context gone is not there, or names no engine."


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_context_that_is_damaged_is_told(home: Path, monkeypatch, content):
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text("{}")
    context.Context("cut", host="unix:///run/cut.sock").save()
    (meta,) = home.rglob("meta.json")
    meta.write_text(content)
    monkeypatch.setenv("DOCKER_CONTEXT", "cut")
    found = engine.fault(None)
    assert found is not None
    assert found.cause == "Docker's current context cut is not there, or names no engine."


@pytest.mark.parametrize(
    ("where", "here"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://localhost:2376", True),
        ("tcp://192.0.2.1:2375", False),
        ("ssh://docker@build.invalid", False),
    ],
)
def test_an_engine_of_another_machine_is_known(where, here):
    found = engine.elsewhere(where)
    assert (found is None) == here
    assert here or where in found.cause


def test_certificates_are_those_that_the_environment_names(tmp_path: Path, monkeypatch):
    asked = []
    monkeypatch.setattr("docker.utils.utils.TLSConfig", lambda **arguments: asked.append(arguments))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        assert engine.fault(f"tcp://127.0.0.1:{taken.getsockname()[1]}") is not None
    assert asked == [
        {
            "client_cert": (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")),
            "ca_cert": str(tmp_path / "ca.pem"),
            "verify": True,
        }
    ]


def test_certificates_that_are_not_there_are_told(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    found = engine.fault("tcp://127.0.0.1:1")
    assert found is not None
    assert "cannot be talked to: Path to a certificate and key files must be provided" in found.cause


def test_no_engine_is_told_with_the_remedy(tmp_path: Path):
    with pytest.raises(engine.EngineMissing) as raised, contextlib.ExitStack() as stack:
        stack.enter_context(engine.connected(f"unix://{tmp_path}/nothing.sock"))
    (fault,) = raised.value.faults()
    assert f"None answers at unix://{tmp_path}/nothing.sock." in fault.cause
    assert "dockerd" in fault.remedy
    assert engine.fault(f"unix://{tmp_path}/nothing.sock") == fault
