"""Forty of the fuzz run's cases, at every test run."""

from __future__ import annotations

from tests.fuzz import media


def test_damaged_files_are_stored_or_refused() -> None:
    """
    Flipped, cut and spliced files end as an encode that reads or as a refusal; nothing is left.
    """
    tally = media.run(40)
    assert tally.faults == []
    assert tally.outcomes.keys() == {"stored", "refused"} and tally.outcomes.total() == 40


def test_a_case_is_its_number() -> None:
    """
    The same number damages the same file in the same way.
    """
    seeds = [("a.mp4", bytes(range(256)) * 20), ("b.ts", bytes(2000))]
    made = [media.damaged(number, seeds) for number in range(50)]
    assert made == [media.damaged(number, seeds) for number in range(50)]
    assert len({data for _, data in made}) > 45
