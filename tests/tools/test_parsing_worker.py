"""The client against a scripted worker: what it says, and what it makes of any answer."""

import threading

import pytest

from airflow_platform import errors, programs
from airflow_platform.parsing import place, protocol, scratch
from airflow_platform.tools import parsing_worker


@pytest.fixture
def at(tmp_path):
    directory = tmp_path / "worker"
    directory.mkdir()
    return parsing_worker.Place(directory, tmp_path / "scratch", tmp_path / "python", {}, (None,), 60)


@pytest.fixture
def scripted(at):
    """Plays conversations, a connection each: for each thing asked the bytes that are answered."""
    servers = []

    def play(*conversations):
        listener = place.listen(at.directory)
        asked = []

        def serve():
            for answers in conversations:
                line, _ = listener.accept()
                with line, line.makefile("rb") as told:
                    for answer in answers:
                        asked.append(protocol.decode(told.readline()))
                        line.sendall(answer)
            listener.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        servers.append(thread)
        return asked

    yield play
    for thread in servers:
        thread.join(10)
        assert not thread.is_alive()


def answer(*messages):
    return b"".join(map(protocol.encode, messages))


def fact(path, **told):
    return {"file": path, "facts": told}


ORDER = protocol.Order(
    "/dags", (protocol.File("a.py", ("os",)), protocol.File("b.py")), warm=("airflow.sdk",)
)


def facts(at):
    worker = parsing_worker.Worker(at, programs.Programs())
    try:
        return dict(worker.facts(ORDER))
    finally:
        worker.close()


def test_an_order_survives_the_line():
    assert protocol.Order.from_json(protocol.decode(protocol.encode(ORDER.to_json()))) == ORDER


def test_files_and_facts_are_what_the_worker_says(at, scripted):
    asked = scripted(
        [
            answer({"busy": 1}, {"files": ["a.py"]}),
            answer({"begun": "a.py"}, fact("a.py", x=1), fact("b.py", x=2), {"done": 2}),
        ]
    )
    worker = parsing_worker.Worker(at, programs.Programs())
    assert worker.files("/dags") == ("a.py",)
    assert dict(worker.facts(ORDER)) == {"a.py": {"x": 1}, "b.py": {"x": 2}}
    worker.close()
    listing = {"ask": "files", "root": "/dags", "seconds": parsing_worker.LISTING}
    assert asked == [listing, protocol.decode(protocol.encode(ORDER.to_json()))]


def test_a_folder_that_airflow_refuses_is_told_as_such(at, scripted):
    scripted([answer({"refused": "a loop"})])
    worker = parsing_worker.Worker(at, programs.Programs())
    with pytest.raises(parsing_worker.Refused, match="a loop"):
        worker.files("/dags")
    worker.close()


def test_what_was_not_asked_for_or_is_told_twice_is_passed_over(at, scripted):
    scripted(
        [
            answer(
                fact("c.py"),
                fact("a.py", x=1),
                fact("a.py", x=3),
                {"news": 1},
                fact("b.py", x=2),
                {"done": 9},
            )
        ]
    )
    assert facts(at) == {"a.py": {"x": 1}, "b.py": {"x": 2}}


def test_files_that_were_not_told_are_asked_for_again_one_at_a_time(at, scripted):
    asked = scripted(
        [answer({"begun": "a.py"}, {"begun": "b.py"}, fact("a.py", x=1))],
        [answer({"begun": "b.py"}, fact("b.py", x=2), {"done": 1})],
    )
    assert facts(at) == {"a.py": {"x": 1}, "b.py": {"x": 2}}
    assert [([file["path"] for file in each["files"]], each["jobs"]) for each in asked] == [
        (["a.py", "b.py"], 0),
        (["b.py"], 1),
    ]


def test_a_file_is_blamed_only_when_its_import_had_begun_alone(at, scripted):
    scripted(
        [answer({"begun": "a.py"}, {"begun": "b.py"})],
        [b""],
        [answer({"begun": "a.py"})],
        [answer({"begun": "b.py"}, fact("b.py", x=2), {"done": 1})],
    )
    assert facts(at) == {"a.py": {"ended": "the process that imports ended with it"}, "b.py": {"x": 2}}


@pytest.mark.parametrize("said", [b"not json\n", b"[]\n", b'{"file": "a', b"", b"[" * 100_000 + b"\n"])
def test_a_worker_that_talks_nonsense_is_given_up_after_a_few_attempts(at, scripted, said):
    scripted(*[[said]] * 3)
    with pytest.raises(errors.ProgramError, match="ends again and again") as raised:
        facts(at)
    assert raised.value.hint


def test_an_error_of_the_workers_is_told_at_once(at, scripted):
    scripted([answer({"error": "no order: x"})])
    with pytest.raises(errors.ProgramError, match="said: no order: x"):
        facts(at)


def test_a_worker_that_leaves_files_out_is_asked_for_them(at, scripted):
    scripted(
        [answer({"begun": "a.py"}, fact("a.py", x=1), {"done": 1})],
        [answer({"begun": "b.py"}, fact("b.py", x=2), {"done": 1})],
    )
    assert facts(at) == {"a.py": {"x": 1}, "b.py": {"x": 2}}


def test_a_worker_that_says_nothing_is_given_up(at, monkeypatch):
    monkeypatch.setattr(parsing_worker, "SILENCE", 0.2)
    with place.listen(at.directory):  # Nobody accepts: who connects waits.
        worker = parsing_worker.Worker(at, programs.Programs())
        with pytest.raises(errors.ProgramError, match="again and again"):
            list(worker.facts(protocol.Order("/dags", ORDER.files, seconds=0.1)))
        worker.close()


def test_ctrl_c_is_noticed_while_waiting(at):
    runner = programs.Programs()
    worker = parsing_worker.Worker(at, runner)
    with place.listen(at.directory):
        timer = threading.Timer(0.2, runner.interruption.request, (2,))
        timer.start()
        with pytest.raises(errors.Interrupted):
            list(worker.facts(ORDER))
        worker.close()
        timer.join()


def test_the_digest_of_its_code_changes_with_it(monkeypatch, tmp_path):
    before = parsing_worker.code_digest()
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(parsing_worker.parsing, "__file__", str(tmp_path / "__init__.py"))
    assert parsing_worker.code_digest() != before


def test_a_directory_that_is_swept_away_while_a_worker_starts_is_made_again(at, monkeypatch):
    real, made, listeners = parsing_worker.files.make_directory, [], []

    def make(path, **how):
        real(path, **how)
        made.append(path)
        if made == [at.directory.parent, at.directory]:
            scratch.discard(scratch.condemned(at.directory))

    def start(*_, **__):
        listeners.append(place.listen(at.directory))
        return 0

    monkeypatch.setattr(parsing_worker.files, "make_directory", make)
    monkeypatch.setattr(programs, "start_detached", start)
    worker = parsing_worker.Worker(at, programs.Programs())
    worker.start()
    worker.close()
    (listener,) = listeners
    listener.close()
    assert made.count(at.directory) == 2


def test_a_worker_that_cannot_be_started_is_not_tried_for_ever(at):
    worker = parsing_worker.Worker(at, programs.Programs())
    with pytest.raises(FileNotFoundError, match="python"):
        worker.start()


def test_nobody_can_lock_a_workers_directory_that_is_being_deleted(at, tmp_path, monkeypatch):
    workers, scratches = tmp_path / "workers", tmp_path / "scratches"
    for parent in (workers, scratches):
        (parent / "dead").mkdir(parents=True)
    real, deleted = scratch.discard, []

    def discard(tree, **how):
        deleted.append(tree.parent)
        assert not (tree.parent / "dead").exists()
        return real(tree, **how)

    monkeypatch.setattr(scratch, "discard", discard)
    parsing_worker.sweep(workers, scratches, without="wanted")
    assert deleted == [scratches, workers]
    assert [list(parent.iterdir()) for parent in (workers, scratches)] == [[], []]
