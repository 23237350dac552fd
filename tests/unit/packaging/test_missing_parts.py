"""A real part that a machine cannot have: skipped and said loudly; on CI a failure."""

import multiprocessing
from pathlib import Path

import pytest

from tests.real.parts import __main__ as ahead
from tests.real.parts import cache
from tests.real.parts.missing import Missing

TESTS = """
    import pytest
    from tests.real.parts.missing import Missing

    @pytest.fixture(scope="session")
    def server():
        raise Missing("Teapot", "no teapot on PATH\\n and no kettle", "apt-get install teapot")

    def test_pours(server):
        pass

    def test_whistles(server):
        pass

    def test_in_the_body():
        raise Missing("Cup", "broken", "buy one")

    def test_needs_nothing():
        pass
"""
PLUGIN = ("-p", "tests.real.parts.missing", "-p", "no:cacheprovider")


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose tests need a teapot."""
    pytester.makepyfile(TESTS)
    return pytester


def test_without_ci_it_skips_and_says_so(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the run names every part, how many tests did not run, why, and how to get it."""
    monkeypatch.delenv("CI", raising=False)
    result = run.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(
        [
            "*MISSING REAL PARTS: these tests did NOT run*",
            "Cup: 1 test(s) not run",
            "    why:       broken",
            "    to get it: buy one",
            "Teapot: 2 test(s) not run",
            "    why:       no teapot on PATH and no kettle",
            "    to get it: apt-get install teapot",
            "With CI=true each of these is a failure.",
        ]
    )
    assert result.ret == pytest.ExitCode.OK


def test_on_ci_it_fails(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing part must not look like a pass."""
    monkeypatch.setenv("CI", "true")
    result = run.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=1, failed=1, errors=2)
    result.stdout.fnmatch_lines(["*MISSING REAL PARTS*", "Teapot: 2 test(s) not run"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_summary_survives_parallel_workers(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pytest-xdist the reports come from other processes."""
    monkeypatch.delenv("CI", raising=False)
    result = run.runpytest_inprocess(*PLUGIN, "-n", "1")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(["*MISSING REAL PARTS*", "Cup: 1 test(s) not run", "Teapot: 2 test(s) not run"])


def test_nothing_missing_says_nothing(pytester: pytest.Pytester) -> None:
    """No section without need."""
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_inprocess(*PLUGIN)
    result.stdout.no_fnmatch_line("*MISSING*")


class TestCache:
    """What is fetched is kept, whole or not at all."""

    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGEPATH_PARTS", str(tmp_path / "parts"))

    def test_makes_once(self) -> None:
        """The second time it is there."""
        made: list[Path] = []
        first = cache.kept("thing", made.append)
        assert cache.kept("thing", made.append) == first
        assert len(made) == 1

    def test_an_interrupted_fetch_leaves_nothing(self) -> None:
        """What looks whole is whole: the next run fetches again."""

        def interrupted(directory: Path) -> None:
            (directory / "half").touch()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.kept("thing", interrupted)
        assert [path.name for path in cache.directory().iterdir()] == ["thing.lock"]
        assert list(cache.kept("thing", _nothing).iterdir()) == []

    def test_parallel_runs_make_once(self, tmp_path: Path) -> None:
        """Two processes that want the same part: one fetches, the other waits for it."""
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_keep, args=(str(tmp_path / "parts"), str(tmp_path))) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert len(list(tmp_path.glob("made-*"))) == 1

    @pytest.mark.parametrize("home", ["", "/proc/nowhere"])
    def test_without_a_home_it_lies_in_the_checkout(self, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
        """`make test` needs no home directory that can be written to."""
        monkeypatch.delenv("EDGEPATH_PARTS")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", home)
        assert cache.directory().parts[-2:] == ("build", "parts")


class TestAheadOfTheTests:
    """What ``make test`` does with the parts while the unit tests run."""

    @pytest.mark.parametrize(("ci", "good"), [("", True), ("true", False)])
    def test_a_missing_part_is_told_and_the_others_are_got(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, good: bool
    ) -> None:
        """On CI it fails the run, as the tests for it do."""
        monkeypatch.setenv("CI", ci)
        got: list[str] = []

        def missing() -> None:
            raise Missing("Teapot", "no kettle", "buy one")

        assert ahead.get([("Teapot", missing), ("Cup", lambda: got.append("cup"))]) is good
        assert got == ["cup"]
        assert capsys.readouterr().out.splitlines() == [
            "Teapot is missing: no kettle. To get it: buy one",
            "Cup: there, after 0 s",
        ]

    def test_what_nobody_expected_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A fault of ours is no part that this machine lacks."""
        assert not ahead.get([("Teapot", lambda: Path("/proc/nowhere").read_text())])
        assert capsys.readouterr().out.startswith("Teapot: FileNotFoundError: ")


def _keep(parts: str, marks: str) -> None:
    import os  # noqa: PLC0415 - runs in a process of its own
    import time  # noqa: PLC0415

    os.environ["EDGEPATH_PARTS"] = parts

    def make(_: Path) -> None:
        (Path(marks) / f"made-{os.getpid()}").touch()
        time.sleep(0.3)  # long enough for the other to want it too

    cache.kept("thing", make)


def _nothing(_: Path) -> None:
    """A part without files."""
