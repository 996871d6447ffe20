"""The steps of a build on an engine in memory: what is made, what is found, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images, image_recipes, image_settings
from airflow_platform.images import base_image, build_leftovers, build_record, image_step
from airflow_platform.programs import programs
from airflow_platform.testing import runs
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.tools import uv
from airflow_platform.tools.containers import build_network, image_cache, image_check
from airflow_platform.tools.containers.engine import EngineError
from tests.doubles.images import World

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
        self.pull = False
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
        store = self.world.cache()
        recipes = self.recipes()
        shared = image_step.Shared(
            images=store,
            recipes=recipes,
            settings=self.settings,
            checkout="mine",
            labels=lambda context: {
                image_cache.COMMIT: "c0ffee",
                image_cache.CREATED: "2026-11-24T10:00:00+00:00",
            },
            uv=lambda context, architecture: self.files / "python.sh",
            checks=self.cache / "checks",
        )
        return (
            build_leftovers.BuildLeftovers(store, checkout="mine"),
            base_image.BaseImage(
                store, reference=self.settings.base, platform=self.settings.platform, pull=self.pull
            ).after("leftovers"),
            *(image_step.ImageStep(each, shared).after(each.parent) for each in recipes.values()),
            build_record.BuildRecord(self.record, ("airflow-base", "scheduler"), airflow="3.3.2").after(
                "airflow-base", "scheduler"
            ),
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
    found = built_images.read(build.record)
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


def test_a_parent_that_is_not_needed_is_not_made_again(build):
    build.run()
    del build.world.names[build.reference("packages")]
    assert build.changed() == []


def test_a_parent_is_made_again_for_a_child_that_is_missing(build):
    build.run()
    del build.world.names[build.reference("packages")]
    del build.world.names[build.reference("airflow-base")]
    assert build.changed() == ["packages", "airflow-base", "record"], "the scheduler is made from the same"


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


def test_an_image_that_does_not_import_gets_no_name(build):
    build.world.trials[VERIFY] = image_check.NotAccepted(
        "celery.backends.database: ImportError", hint="pin it"
    )
    report = build.run()
    assert report.exit_code == 1
    assert "celery.backends.database" in report.faults[0].cause
    assert not [name for name in build.world.names if "airflow-base" in name]


def test_labels_tell_where_an_image_comes_from(build):
    build.run()
    labels = build.world.at(build.reference("scheduler")).labels
    assert labels[image_cache.COMMIT] == "c0ffee"
    assert labels["org.opencontainers.image.version"] == "3.3.2"
    assert len(labels[image_cache.LOCK]) == 64
    assert labels[image_cache.DRAFT] == ""
    assert build.reference("scheduler").endswith(labels[image_cache.INPUTS])


def test_what_killed_builds_left_is_removed(build):
    mine = [build.world.add({image_cache.DRAFT: "mine"}, text) for text in ("one", "two")]
    theirs = build.world.add({image_cache.DRAFT: "theirs"}, "one")
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
    monkeypatch.setattr(image_step.lock_inputs, "stale", lambda lock: compared)
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
    build.pull = True
    assert build.changed()[0] == "base-image"


@pytest.mark.parametrize("answer", [None, EngineError("manifest unknown.", status=404)])
def test_a_base_that_cannot_be_had_is_told_before_anything_is_built(build, answer):
    build.world.registry.clear()
    if answer is not None:
        build.world.registry["debian:bookworm-slim"] = answer
    report = build.run()
    assert report.exit_code == 4
    (fault,) = report.faults
    assert ("manifest unknown" in fault.cause) == (answer is not None)
    assert "`images/base-from-debian`" in fault.remedy
    assert build.world.images == {}


def test_the_same_base_made_again_rebuilds_nothing(build):
    """As a machine without a registry makes it: other id, other date, the same files."""
    build.world.registry.clear()
    build.world.add({}, "the files of Debian", "debian:bookworm-slim")
    build.run()
    build.world.add({}, "the files of Debian", "debian:bookworm-slim")
    assert build.changed() == []
    build.world.add({}, "newer files of Debian", "debian:bookworm-slim")
    assert build.changed() == EVERYTHING[1:]


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
    assert wanted.cache == image_step.DOWNLOADS
    assert wanted.labels == {image_cache.DRAFT: "mine"}
    assert set(wanted.environment) >= {"UV_CACHE_DIR", "APT_CONFIG"}
    assert build_network.PLACE in wanted.environment["APT_CONFIG"]


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
