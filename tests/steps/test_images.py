"""The steps of a build on an engine in memory: what is made, what is found, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_platform import errors, programs
from airflow_platform.config import built, image_recipes, image_settings
from airflow_platform.steps import base_image, build_leftovers, build_record, images
from airflow_platform.testing import runs
from airflow_platform.testing.images import World
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.tools import debian, uv
from airflow_platform.tools.containers import outside, shelf, trials
from airflow_platform.tools.containers.engine import EngineError

VERIFY = ("python", "/mnt/verify.py")
ANSWER = {"revision": "d2f4", "known_revisions": ["a1b2", "d2f4"], "modules": 3, "providers": ["celery"]}


class Build:
    """A small set of recipes, and runs of it."""

    def __init__(self, directory: Path) -> None:
        self.world = World(trials={VERIFY: f"a line of log\n{json.dumps(ANSWER)}"})
        self.world.registry["debian:bookworm-slim"] = "amd64"
        self.files = directory / "images"
        self.files.mkdir()
        self.record = directory / "build" / "images.json"
        self.cache = directory / "cache"
        self.settings = image_settings.ImageSettings()
        self.anew = False
        self.reporter = RecordingReporter()
        for name in ("Dockerfile", "requirements.lock", "requirements.in", "python.sh", "verify.py"):
            self.write(name, "attrs==25.1\n" if name.startswith("requirements") else name)

    def write(self, name: str, text: str) -> Path:
        path = self.files / name
        path.write_text(text)
        return path

    def path(self, *names: str) -> dict[str, Path]:
        return {name: self.files / name for name in names}

    def recipes(self) -> dict[str, image_recipes.Recipe]:
        files = self.path("requirements.lock", "python.sh")
        made = (
            image_recipes.Recipe(
                "packages", image_recipes.BASE, "Packages", files=files,
                install=("/mnt/python.sh", "/opt/venv"), python=True, published=False,
            ),
            image_recipes.Recipe(
                "airflow-base", "packages", "Airflow", "3.3.2",
                files=self.path("Dockerfile", "verify.py"), verify="verify.py",
            ),
            image_recipes.Recipe("scheduler", "airflow-base", "Scheduler", "3.3.2", files=self.path("Dockerfile")),
        )  # fmt: skip
        return {each.name: each for each in made}

    def steps(self):
        store = self.world.shelf()
        recipes = self.recipes()
        shared = images.Shared(
            shelf=store,
            recipes=recipes,
            settings=self.settings,
            checkout="mine",
            labels=lambda context: {shelf.COMMIT: "c0ffee", shelf.CREATED: "2026-11-24T10:00:00+00:00"},
            uv=lambda context, architecture: self.files / "python.sh",
            checks=self.cache / "checks",
        )
        return (
            build_leftovers.BuildLeftovers(store, checkout="mine"),
            base_image.BaseImage(
                store,
                reference=self.settings.base,
                platform=self.settings.platform,
                cache=self.cache,
                checkout="mine",
                anew=self.anew,
            ),
            *(images.ImageStep(each, shared) for each in recipes.values()),
            build_record.BuildRecord(self.record, ("airflow-base", "scheduler"), airflow="3.3.2"),
        )

    def run(self, **options):
        return runs.run_steps(*self.steps(), tenants=(), **options)

    def changed(self, **options) -> list[str]:
        """The names of the steps that changed something; none may have gone wrong."""
        report = self.run(**options)
        assert report.exit_code == 0, report.faults
        return [each.name for each in report.steps if each.status.value == "changed"]

    def reference(self, name: str) -> str:
        return next(each for each in self.world.names if each.startswith(f"airflow-platform/{name}:"))


@pytest.fixture
def build(tmp_path):
    return Build(tmp_path)


EVERYTHING = ["base-image", "packages", "airflow-base", "scheduler", "record"]


def test_images_are_built_once(build):
    assert build.changed() == EVERYTHING
    assert build.changed() == []


def test_the_record_says_what_there_is(build):
    build.run()
    found = built.read(build.record)
    assert found
    assert sorted(found.images) == ["airflow-base", "scheduler"]
    assert (found.commit, found.revision, found.known_revisions) == ("c0ffee", "d2f4", ("a1b2", "d2f4"))
    scheduler = found.images["scheduler"]
    assert scheduler.reference == build.reference("scheduler")
    assert scheduler.id == build.world.names[scheduler.reference]
    assert scheduler.tag.startswith("3.3.2-")


@pytest.mark.parametrize("damage", ["unlink", "write"])
def test_a_lost_record_is_written_again_and_nothing_is_built(build, damage):
    build.run()
    before = build.record.read_text()
    build.record.unlink() if damage == "unlink" else build.record.write_text("{")
    assert build.changed() == ["record"]
    assert build.record.read_text() == before


def test_only_what_changed_is_built_and_all_that_is_made_from_it(build):
    build.run()
    build.write("verify.py", "another")
    assert build.changed() == ["airflow-base", "scheduler", "record"]
    build.write("requirements.lock", "attrs==25.1\nbabel==2\n")
    assert build.changed() == EVERYTHING[1:]


def test_a_file_that_becomes_a_program_is_another_input(build):
    build.run()
    (build.files / "Dockerfile").chmod(0o755)
    assert build.changed() == ["airflow-base", "scheduler", "record"]


def test_what_was_built_from_the_same_before_is_found_again(build):
    build.run()
    names = set(build.world.names)
    build.write("verify.py", "another")
    build.run()
    build.write("verify.py", "verify.py")
    assert build.changed() == ["record"]
    assert names < set(build.world.names)


def test_with_plan_nothing_is_made(build):
    report = build.run(planning=True)
    assert report.exit_code == 3
    assert build.world.images == {}
    assert not build.record.exists()


def test_an_image_altered_after_the_build_is_built_again_and_the_other_is_left(build):
    build.run()
    name = build.reference("scheduler")
    build.world.alter(name)
    altered = build.world.names[name]
    report = build.run(planning=True)
    assert {each.name: each.reason for each in report.steps}["scheduler"].endswith(
        "the one of that name was altered after it was built"
    )
    assert build.changed() == ["scheduler", "record"]
    assert build.world.names[name] != altered
    assert altered in build.world.images


def test_a_name_that_another_image_got_is_given_back(build):
    build.run()
    build.world.add({}, "somebody's", build.reference("airflow-base"))
    assert build.changed() == ["airflow-base", "record"]


def test_a_parent_that_is_not_needed_is_not_made_again(build):
    build.run()
    del build.world.names[build.reference("packages")]
    assert build.changed() == []


def test_a_base_that_was_lost_and_is_the_same_again_changes_nothing(build, bootstraps):
    build.world.registry.clear()
    build.run()
    (name,) = [each for each in build.world.names if "/debian:" in each]
    lost = build.world.names.pop(name)
    assert build.changed() == ["base-image"]
    assert build.world.names[name] != lost


def test_a_parent_is_made_again_for_a_child_that_is_missing(build):
    build.run()
    del build.world.names[build.reference("packages")]
    del build.world.names[build.reference("airflow-base")]
    assert build.changed() == ["packages", "airflow-base", "record"], "the scheduler is made from the same"


def test_what_is_made_from_a_parent_that_came_out_otherwise_is_made_again(build):
    build.run()
    del build.world.names[build.reference("packages")]
    del build.world.names[build.reference("airflow-base")]
    build.world.day = "Tuesday"
    report = build.run()
    assert {each.name: each.reason for each in report.steps}["scheduler"].endswith(
        "airflow-base was built again"
    )
    assert build.changed() == []


def test_a_parent_is_made_again_for_a_child_that_was_altered(build):
    build.run()
    del build.world.names[build.reference("packages")]
    build.world.alter(build.reference("airflow-base"))
    assert build.changed() == ["packages", "airflow-base", "record"]


VERBS = ("build", "step", "made", "install", "attempt", "label")


@pytest.fixture
def fail(build):
    """Has the engine end what it does, at a verb of `World.during`."""

    def fail(verb):
        def during(thing):
            if thing == verb:
                raise EngineError(
                    "Step 2/3 : RUN x: no space left on device.", status=None, hint="Free some."
                )

        build.world.during = during

    return fail


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_has_a_name_before_it_is_whole(build, fail, verb):
    fail(verb)
    report = build.run()
    assert report.exit_code == 1
    assert "no space left" in report.faults[0].cause
    assert not [name for name in build.world.names if "airflow-base" in name]
    assert not build.record.exists()
    build.world.during = lambda thing: None
    assert build.changed()[-3:] == ["airflow-base", "scheduler", "record"]
    assert build.world.unnamed() == []


@pytest.mark.parametrize("verb", VERBS)
def test_whenever_a_build_is_cut_short_the_next_one_leaves_nothing_without_a_name(build, fail, verb):
    build.run()
    build.write("verify.py", "another")
    build.write("python.sh", "another")
    fail(verb)
    assert build.run().exit_code == 1
    build.world.during = lambda thing: None
    build.write("verify.py", "a third")
    build.write("python.sh", "a third")
    build.changed()
    assert build.world.unnamed() == []


@pytest.mark.parametrize("verb", ["build", "step", "made"])
def test_a_base_of_packages_that_is_cut_short_leaves_nothing_either(build, bootstraps, fail, verb):
    build.world.registry.clear()
    fail(verb)
    assert build.run().exit_code == 1
    build.world.during = lambda thing: None
    build.changed()
    assert build.world.unnamed() == []


def test_an_image_that_does_not_import_gets_no_name(build):
    build.world.trials[VERIFY] = trials.NotAccepted("celery.backends.database: ImportError", hint="pin it")
    report = build.run()
    assert report.exit_code == 1
    assert "celery.backends.database" in report.faults[0].cause
    assert not [name for name in build.world.names if "airflow-base" in name]


def test_labels_tell_where_an_image_comes_from(build):
    build.run()
    labels = build.world.at(build.reference("scheduler")).labels
    base = build.world.at(build.reference("airflow-base"))
    assert labels[shelf.PARENT] == base.content
    assert labels[shelf.COMMIT] == "c0ffee"
    assert labels["org.opencontainers.image.version"] == "3.3.2"
    assert len(labels[shelf.LOCK]) == 64
    assert labels[shelf.DRAFT] == ""
    assert build.reference("scheduler").endswith(labels[shelf.INPUTS])


def test_what_killed_builds_left_is_removed(build):
    mine = [build.world.add({shelf.DRAFT: "mine"}, text) for text in ("one", "two")]
    theirs = build.world.add({shelf.DRAFT: "theirs"}, "one")
    report = build.run()
    assert report.steps[0].reason == "remove 2 things that a build left which was cut short"
    assert not set(mine) & set(build.world.images)
    assert theirs in build.world.images


def test_without_an_engine_everything_else_is_told_too(build):
    build.world.missing = True
    build.write("requirements.in", "attrs==26\n")
    report = build.run()
    assert report.exit_code == 4
    causes = " ".join(fault.cause for fault in report.faults)
    assert "None answers" in causes
    assert "The lock requirements.lock pins 25.1." in causes


def test_a_stale_lock_is_told_before_anything_is_built(build):
    build.write("extra.in", "babel>=2  # for reports\n")
    report = build.run()
    assert report.exit_code == 4
    (fault,) = report.faults
    assert fault.thing == "images/images/extra.in: babel>=2"
    assert fault.remedy == "Run `scripts/nox -s lock` and commit the lock."
    assert build.world.images == {}


def test_a_lock_that_fits_is_compared_once(build, monkeypatch):
    build.run()
    compared = [errors.Fault("attrs", "It was compared.", "")]
    monkeypatch.setattr(images.requirements, "stale", lambda lock: compared)
    build.write("requirements.in", "# a comment more\nattrs==25.1\n")
    assert build.changed() == []
    build.write("requirements.in", "attrs\n")
    assert build.run().exit_code == 4


def test_the_wrong_architecture_is_told(build):
    build.settings = image_settings.ImageSettings(platform="arm64")
    report = build.run()
    assert report.exit_code == 4
    assert report.faults[0].cause == "It says arm64, and the Docker engine runs amd64."


def test_a_base_of_the_wrong_architecture_is_told(build):
    build.world.add({}, "debian", "debian:bookworm-slim", architecture="arm64")
    report = build.run()
    assert report.exit_code == 4
    assert "It is for arm64, and images are made for amd64." in report.faults[0].cause
    assert "docker pull --platform=linux/amd64" in report.faults[0].remedy


def test_a_base_that_is_there_is_not_pulled(build):
    build.world.registry.clear()
    build.world.add({}, "debian", "debian:bookworm-slim")
    assert build.changed() == EVERYTHING[1:]


def test_another_base_makes_other_images(build):
    build.run()
    build.world.add({}, "a newer debian", "debian:bookworm-slim")
    assert build.changed() == EVERYTHING[1:]


def test_pull_fetches_the_base_again(build):
    build.run()
    build.anew = True
    assert build.changed()[0] == "base-image"


@pytest.fixture
def bootstraps(monkeypatch):
    """Debian without mmdebstrap: what was asked of it."""
    made = SimpleNamespace(asked=[], cause="", content="the files of Debian")

    def bootstrap(runner, release, architecture, target, *, progress):
        made.asked.append((release, architecture))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(made.content)

    monkeypatch.setattr(debian, "bootstrap", bootstrap)
    monkeypatch.setattr(
        debian,
        "missing_bootstrap",
        lambda release: made.cause or ("" if release else "it is none of Debian's"),
    )
    return made


def test_where_no_registry_answers_the_base_is_made_of_packages_once(build, bootstraps):
    build.world.registry.clear()
    assert build.changed() == EVERYTHING
    assert bootstraps.asked == [("bookworm", "amd64")]
    assert build.changed() == []
    (name,) = [each for each in build.world.names if "/debian:" in each]
    assert name.startswith("airflow-platform/debian:bookworm-"), "never under Debian's own name"
    build.world.names.clear()
    build.run()
    assert len(bootstraps.asked) == 1, "the files are kept"


def test_a_base_made_again_of_the_same_packages_changes_nothing(build, bootstraps):
    build.world.registry.clear()
    build.run()
    build.anew = True
    report = build.run()
    assert len(bootstraps.asked) == 2
    inputs = {name.rpartition("-")[2] for name in build.world.names if "scheduler" in name}
    assert len(inputs) == 1, [each.reason for each in report.steps]
    bootstraps.content = "newer files of Debian"
    build.run()
    assert len({name for name in build.world.names if "scheduler" in name}) == 2


def test_a_registry_that_says_no_is_believed(build, bootstraps):
    build.world.registry["debian:bookworm-slim"] = EngineError("manifest unknown.", status=404)
    report = build.run()
    assert report.exit_code == 1
    assert "manifest unknown" in report.faults[0].cause
    assert bootstraps.asked == []


@pytest.mark.parametrize(
    ("base", "cause", "says", "remedy"),
    [
        (
            "debian:bookworm-slim",
            "mmdebstrap is not installed",
            "mmdebstrap is not",
            "apt-get install mmdebstrap",
        ),
        ("registry.example.com/base:1", "", "none of Debian's", "name another base in images/images.toml"),
    ],
)
def test_a_base_that_cannot_be_had_is_told(build, bootstraps, base, cause, says, remedy):
    build.world.registry.clear()
    build.settings = image_settings.ImageSettings(base=base)
    bootstraps.cause = cause
    report = build.run()
    assert report.exit_code == 4
    assert says in report.faults[0].cause
    assert remedy in report.faults[0].remedy


def test_the_index_is_given_to_the_installation_and_its_password_is_masked(build, monkeypatch):
    index = image_settings.Index("https://packages.example.com/simple", "ci", "INDEX_PASSWORD")
    build.settings = image_settings.ImageSettings(index=index)
    report = build.run()
    assert report.exit_code == 4
    assert "INDEX_PASSWORD" in report.faults[0].thing
    monkeypatch.setenv("INDEX_PASSWORD", "p@ssword-1")
    reporter = RecordingReporter()

    def show(thing):
        if thing == "attempt":
            raise errors.StepError("https://ci:p%40ssword-1@packages.example.com and p@ssword-1 said no")

    build.world.during = show
    report = build.run(reporter=reporter)
    (wanted,) = [what for verb, what in build.world.told if verb == "install"]
    assert wanted.environment["UV_INDEX"] == "https://ci:p%40ssword-1@packages.example.com/simple"
    assert "ssword-1" not in json.dumps(report.to_json())
    labels = json.dumps([dict(each.labels) for each in build.world.images.values()])
    assert "ssword" not in labels


def test_an_installation_is_given_what_it_needs(build):
    build.run()
    (wanted,) = [what for verb, what in build.world.told if verb == "install"]
    assert wanted.command == ("/mnt/python.sh", "/opt/venv")
    assert {"requirements.lock", "python.sh", "uv/bin/uv"} <= set(wanted.files)
    assert wanted.cache == images.DOWNLOADS
    assert wanted.labels == {shelf.DRAFT: "mine"}
    assert set(wanted.environment) >= {"UV_CACHE_DIR", "APT_CONFIG"}
    assert outside.PLACE in wanted.environment["APT_CONFIG"]


def test_proxies_of_docker_s_settings_are_given_to_the_installation_alone_and_masked(build):
    # checkov:skip=CKV_SECRET_4: 2026-11-27: Not a password, only the look of one.
    build.world.proxies = {"http_proxy": "http://ci:pr0xy-word@proxy.example.com:3128"}
    runner = programs.Programs()
    build.run(with_programs=runner)
    (wanted,) = [what for verb, what in build.world.told if verb == "install"]
    assert wanted.environment["http_proxy"] == build.world.proxies["http_proxy"]
    assert runner.mask("pr0xy-word") == "***"
    assert "pr0xy" not in json.dumps([dict(each.labels) for each in build.world.images.values()])


def test_every_platform_that_may_be_wanted_has_a_uv():
    assert set(image_settings.PLATFORMS) == set(uv.TARGETS)
