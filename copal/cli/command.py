"""The ``copal`` command: its verbs, its options, and how its errors end."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from copal import __version__
from copal.errors import CopalError, RegistryError, RequestError

DONE, CELL_FAILED, REQUEST_WRONG = 0, 1, 2
INTERRUPTED = 130
"""What a shell gives a command that SIGINT ended."""


class Verbs(click.Group):
    """Verbs in the order in which a newcomer meets them; each is imported when it is called."""

    order = (
        "init", "demo", "check", "golden", "graph", "add", "plan", "run",
        "watch", "sweep", "arrivals", "status", "why", "lineage", "diff",
        "show", "match", "evaluate", "retry",
        "request", "backfill", "schedule", "runs",
        "releases", "compare", "promote", "rollback",
        "snapshot", "compact", "verify", "gc", "flow", "deploy",
    )  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs."""
        return list(self.order)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """One verb, from the module that holds it."""
        if name not in self.order:
            return None
        from importlib import import_module

        room = {
            "init": "setup", "demo": "demo", "check": "setup", "graph": "drawing", "flow": "setup",
            "deploy": "deploying", "lineage": "tracing", "diff": "tracing",
            "golden": "setup",
            "watch": "watching", "sweep": "watching", "arrivals": "watching",
            "add": "doing", "plan": "doing", "run": "doing", "retry": "doing",
            "status": "asking", "why": "asking", "show": "asking",
            "match": "matching", "evaluate": "matching",
            "request": "operating", "backfill": "operating", "schedule": "operating",
            "runs": "operating",
            "releases": "releasing", "compare": "comparing", "promote": "releasing",
            "rollback": "releasing",
            "snapshot": "keeping", "compact": "keeping", "verify": "keeping", "gc": "keeping",
        }[name]  # fmt: skip
        found: click.Command = getattr(import_module(f"copal.cli.{room}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that was typed, or the one that was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from copal.errors import suggestion

            meant = suggestion(args[0], self.order)
            raise click.UsageError(f"no command '{args[0]}'.{meant}", ctx) from exc


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="copal")
@click.option(
    "--project", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder of registry.yaml. Default: $COPAL_PROJECT, or this folder or the nearest above.",
)  # fmt: skip
@click.option(
    "--store", metavar="URL",
    help="A folder or s3://bucket/prefix. Default: $COPAL_STORE, or the registry's 'store'.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and log every cell.")
@click.pass_context
def copal(ctx: click.Context, project: Path | None, store: str | None, debug: bool) -> None:
    """Copal keeps media features true.

    Point it at media, and it computes what registry.yaml declares (standard encodes, shots,
    vectors, match cuts), each once, stored with its version, and never again without a reason.

    \b
    A first time:
      copal init films && cd films    a feature repository of your own
      copal add ~/footage             bring media in
      copal plan                      what is missing, and why; free
      copal run                       compute it
      copal status                    how things stand

    Exit codes: 0 done, 1 some cell failed or some file was refused, 2 the request or the registry
    is wrong, 130 interrupted.
    """
    ctx.obj = Settings(project, store, debug)
    _quiet_logs(debug)


class Settings:
    """What was given before the verb."""

    def __init__(self, project: Path | None, store: str | None, debug: bool) -> None:
        self.project = project
        self.store = store
        self.debug = debug

    def lake(self) -> Any:
        """The lake that the verb works on."""
        from copal.lake import open as open_lake

        return open_lake(self.project, store=self.store)


def _quiet_logs(debug: bool) -> None:
    """Library modules log; a person at a terminal sees tables, and with --debug the log too."""
    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if debug else logging.CRITICAL
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = copal.main(arguments, prog_name="copal", standalone_mode=False)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("stopped. What was stored is kept; run again to go on.")
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        return REQUEST_WRONG
    except click.ClickException as exc:
        _complain(exc.format_message())
        if isinstance(exc, click.NoSuchOption) and (
            path := next(
                (each for each in arguments if each[:1] == "-" and Path(each).exists()), ""
            )
        ):
            _complain(
                f"'{path}' is a file; what begins with '-' comes after '--': copal … -- {path}"
            )
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            _complain(f"try '{exc.ctx.command_path} --help'.")
        return REQUEST_WRONG
    except CopalError as exc:
        if "--debug" in arguments:
            traceback.print_exc()
        _complain(str(exc))
        return REQUEST_WRONG if isinstance(exc, RegistryError | RequestError) else CELL_FAILED
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            sys.stderr.close()  # whoever read our output has seen enough
            return DONE
        if "--debug" in arguments:
            traceback.print_exc()
        _complain(f"{exc.filename}: {exc.strerror}." if exc.filename else str(exc))
        return REQUEST_WRONG
    return code if isinstance(code, int) else DONE


def _complain(message: str) -> None:
    click.echo(f"copal: {message}", err=True)
