"""The README's commands are the command line's."""

import re
from pathlib import Path

from copal.cli.command import copal

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def test_every_command_stands_in_the_readme():
    """
    A reader of the README's table meets every command.
    """
    told = set(re.findall(r"^\| `copal (\w+)", README, re.MULTILINE))
    assert told == set(copal.list_commands(None))


def test_every_command_of_the_readme_exists():
    """
    No command is told that was renamed or removed.
    """
    told = set(re.findall(r"(?:\$ |`)copal (?:--\S+ )*([a-z]+)", README))
    assert told - {"init"} <= set(copal.list_commands(None)) and told


def test_nothing_is_left_to_fill_in():
    """
    The README has no marks for what was to be put in later.
    """
    assert "@@" not in README
