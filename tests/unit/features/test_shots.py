import numpy as np
import pytest

from features.shots import Shots
from tests.unit.features.arrays import encode_of, noise, plain

RED, GREEN, BLUE, WHITE = (200, 20, 20), (20, 180, 20), (30, 30, 220), (240, 240, 240)


def ranges(rows):
    return list(zip(rows["start_frame"].to_pylist(), rows["end_frame"].to_pylist(), strict=True))


@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_every_change_of_picture_is_a_cut(detector):
    """
    Four plain colours of 20 frames each are four shots, and their ranges tile the video.
    """
    rows = Shots(detector=detector).compute(encode_of(plain([RED, GREEN, BLUE, WHITE])))
    assert ranges(rows) == [(0, 20), (20, 40), (40, 60), (60, 80)]
    assert rows["transition"].to_pylist() == ["start", "cut", "cut", "cut"]
    assert rows.schema == Shots.columns


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_no_cut_gives_one_shot(frames):
    """
    A video without a cut is one shot, however short it is.
    """
    rows = Shots().compute(encode_of(noise(1, frames)))
    assert ranges(rows) == [(0, frames)]
    assert rows["clear_start"].to_pylist() == [0]
    assert rows["clear_end"].to_pylist() == [frames]


def test_black_all_through_is_one_shot_and_no_fade():
    """
    Black that never lights up is a shot, not a transition.
    """
    (row,) = Shots().compute(encode_of(plain([(0, 0, 0)], 50))).to_pylist()
    assert (row["transition"], row["clear_start"], row["clear_end"]) == ("start", 0, 50)


def faded(level):
    """The same picture at a level between 0 and 1 for every frame."""
    picture = noise(3, 1)[0].astype(float)
    return np.array([picture * x for x in level]).astype(np.uint8)


def test_a_fade_through_black_is_a_transition_with_its_own_range():
    """
    Out to black over 20 frames and in again over 20: one boundary in the black between, the
    frames of the change named, and left out of both shots' clear part.
    """
    down, up = np.linspace(1, 0, 20), np.linspace(0, 1, 20)
    level = np.concatenate([np.ones(30), down, np.zeros(6), up, np.ones(30)])
    first, second = Shots().compute(encode_of(faded(level))).to_pylist()
    assert first["transition"] == "start"
    assert second["transition"] == "fade"
    assert 49 <= second["start_frame"] <= 57
    assert abs(second["transition_start"] - 30) <= 4
    assert abs(second["transition_end"] - 76) <= 4
    assert first["clear_end"] == second["transition_start"]
    assert second["clear_start"] == second["transition_end"]
    assert first["end_frame"] == second["start_frame"]


def test_fades_at_both_ends_begin_no_shot():
    """
    A film that fades in and out is one shot that begins with a fade and is clear in between.
    """
    level = np.concatenate([np.linspace(0, 1, 24), np.ones(40), np.linspace(1, 0, 24)])
    (row,) = Shots().compute(encode_of(faded(level))).to_pylist()
    assert (row["start_frame"], row["end_frame"], row["transition"]) == (0, 88, "fade")
    assert row["transition_start"] == 0
    assert abs(row["clear_start"] - 24) <= 4
    assert abs(row["clear_end"] - 64) <= 4


def test_a_cut_to_black_is_a_cut():
    """
    Black that is cut to and from is a shot of its own.
    """
    rows = Shots().compute(encode_of(np.concatenate([noise(1), plain_black(), noise(2)])))
    assert ranges(rows) == [(0, 20), (20, 40), (40, 60)]
    assert rows["transition"].to_pylist() == ["start", "cut", "cut"]


def plain_black():
    return np.zeros((20, 96, 160, 3), np.uint8)


def test_white_words_on_black_are_no_fade():
    """
    Credits are shots: one bright word keeps a frame from being black.
    """
    credits = np.zeros((40, 96, 160, 3), np.uint8)
    credits[:, 40:56, 40:120] = 255
    rows = Shots().compute(encode_of(np.concatenate([noise(1), credits])))
    assert rows["transition"].to_pylist() == ["start", "cut"]
    assert rows["clear_end"].to_pylist() == [20, 60]


def test_light_that_flickers_about_black_makes_one_fade():
    """
    A few dim frames in the middle of black do not begin a shot.
    """
    level = [*np.ones(30), *np.linspace(1, 0, 16), 0, 0.1, 0, 0.1, 0, *np.linspace(0, 1, 16)]
    rows = Shots().compute(encode_of(faded([*level, *np.ones(30)])))
    assert rows["transition"].to_pylist() == ["start", "fade"]


@pytest.mark.parametrize(
    "params", [{"detector": "hsah"}, {"window_frames": 0}, {"min_shot_frames": 0}]
)
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared, not when it runs.
    """
    with pytest.raises(ValueError, match="need"):
        Shots(**params)
