"""The registry's rules for failures, in runs: tried again, skipped, or given up at once."""

from __future__ import annotations

from pathlib import Path

from copal.plan import MAX_TRIES
from copal.run.report import RunReport
from tests.integration.repository import Repository

RULE = '  cuts:\n    errors: [{{class: ValueError, message: "sign .* is up", then: {}}}]\n'


def ruled(repository: Repository, films: Path, then: str) -> None:
    """A film, and a sign that makes 'cuts' fail in a way that the registry has a rule for."""
    list(repository.lake().add([films / "calm.mp4"]))
    repository.edit("  cuts:\n", RULE.format(then))
    (repository.signs / "cuts.fail").touch()


def run(repository: Repository) -> RunReport:
    return repository.lake().run(engine="inline")


def to_compute(repository: Repository) -> int:
    return len(repository.lake().plan().feature("cuts").cells)


def test_a_failure_that_may_pass_is_tried_again_a_few_times(
    repository: Repository, films: Path
) -> None:
    """
    'then: retry' tries a cell again in each run, until it has failed too often.
    """
    ruled(repository, films, "retry")
    for tried in range(MAX_TRIES):
        assert to_compute(repository) == 1
        assert run(repository).outcomes["cuts"] == {"failed": 1}
        said = repository.lake().why("calm", "cuts")[0]
        assert ("quarantined" if tried + 1 == MAX_TRIES else "the next run tries it again") in said
    assert to_compute(repository) == 0


def test_a_failure_that_is_expected_is_none(repository: Repository, films: Path) -> None:
    """
    'then: skip' leaves a cell out, and what needs it; the run is a success, the plan and 'why' tell
    it, and 'copal retry' tries it again.
    """
    ruled(repository, films, "skip")
    report = repository.run()
    assert report["outcomes"]["cuts"] == {"skipped": 1}
    assert report["errors"] == {}
    said = " ".join(repository.copal("plan").out.split())
    assert "cuts 0 of 1 asset 1 skipped spans 0 of 1 asset 1 skipped" in said
    status = repository.copal("status", "--json").objects
    assert [each["skipped"] for each in status if "skipped" in each] == [0, 1, 1, 1]
    state, rule = repository.lake().why("calm", "spans")
    assert "skipped" in state
    assert "'cuts', which is skipped" in state
    assert rule.startswith("A rule under 'errors' of registry.yaml")
    assert repository.copal("run", "--engine", "inline").code == 0
    (repository.signs / "cuts.fail").unlink()
    assert repository.lake().retry() == 1
    assert run(repository).outcomes["cuts"] == {"stored": 1}


def test_a_failure_that_is_for_good_is_not_tried_again(repository: Repository, films: Path) -> None:
    """
    'then: fail' quarantines at once.
    """
    ruled(repository, films, "fail")
    assert run(repository).outcomes["cuts"] == {"failed": 1}
    assert to_compute(repository) == 0
