"""The verb that takes the flow to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import print_rows, print_table, say

if TYPE_CHECKING:
    from copal.flow.compiled import Compiled, StepMachine
    from copal.flow.deploy import Deployment


@click.command()
@click.argument("target", type=click.Choice(["argo", "step-functions"]))
@click.option("--dry-run", is_flag=True, help="Only compile: nothing leaves this machine.")
@click.option(
    "--only-json", is_flag=True,
    help="Compile and upload the code package, for others to apply what was compiled.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write what was compiled to FILE, as JSON ('-': print it).",
)  # fmt: skip
@click.option("--image", default="", help="Container image of steps that name none.")
@click.option(
    "--stack", default="", help="CloudFormation stack whose outputs fill in settings (AWS)."
)
@click.option("--branch", default="", help="Deploy beside production, under this name.")
@click.option("--authorize", default="", metavar="TOKEN", help="Metaflow's production token.")
@options.as_json
@click.pass_obj
def deploy(
    settings: Settings,
    target: str,
    dry_run: bool,
    only_json: bool,
    output: Path | None,
    image: str,
    stack: str,
    branch: str,
    authorize: str,
    as_json: bool,
) -> int:
    """Compile the flow for Argo Workflows or AWS Step Functions, and deploy it.

    Machines, retries, timeouts, schedule and trigger are those of registry.yaml. The code package
    holds the registry and the features; the image holds Copal.
    """
    from copal.flow.deploy import Request, compile_flow
    from copal.flow.deploy import deploy as deploy_flow

    request = Request.of(
        target, settings.project, settings.store,
        image=image, stack=stack, branch=branch, authorize=authorize,
    )  # fmt: skip
    if dry_run or only_json:
        done, said = compile_flow(request, upload=only_json and not dry_run), ""
    else:
        done, said = deploy_flow(request)
    if output == Path("-"):
        click.echo(done.text(), nl=False)
        return DONE
    if output is not None:
        output.write_text(done.text())
    if as_json:
        print_rows([_head(done), *(_row(step) for step in done.compiled.steps)])
        return DONE
    print_table([_cells(step) for step in done.compiled.steps], _HEADER)
    say(_sentence(done))
    if output is not None:
        say(f"wrote {output}")
    if said:
        say(f"Deployed '{done.compiled.name}'.")
    elif only_json and not dry_run:
        say(f"Uploaded {', '.join(done.packages)}. Nothing was deployed.")
    else:
        say("Nothing was uploaded or deployed.")
    return DONE


_HEADER = ["step", "image", "cpu", "memory", "gpu", "tries", "minutes", "where"]


def _cells(step: StepMachine) -> list[str]:
    where = [f"{key}={value}" for key, value in step.node_selector.items()] + [step.queue]
    return [
        step.name, step.image, f"{step.cpu:g}", f"{step.memory_mib / 1024:g} GiB",
        str(step.gpu or ""), str(1 + step.retries), f"{step.timeout_seconds / 60:g}",
        " ".join(where).strip(),
    ]  # fmt: skip


def _head(done: Deployment) -> dict[str, Any]:
    compiled = done.compiled
    return {
        "target": done.target,
        "name": compiled.name,
        "cron": compiled.cron,
        "event": compiled.event,
        "parameters": dict(compiled.parameters),
        "max_workers": compiled.max_workers,
        "packages": list(done.packages),
    }


def _row(step: StepMachine) -> dict[str, Any]:
    return {
        "step": step.name,
        "image": step.image,
        "cpu": step.cpu,
        "memory_mib": step.memory_mib,
        "gpu": step.gpu,
        "retries": step.retries,
        "attempts": step.attempts,
        "timeout_seconds": step.timeout_seconds,
        "node_selector": dict(step.node_selector),
        "queue": step.queue,
    }


def _sentence(done: Deployment) -> str:
    compiled: Compiled = done.compiled
    starts = [f"cron {compiled.cron}"] if compiled.cron else []
    starts += [f"event '{compiled.event}'"] if compiled.event else []
    when = " and ".join(starts) or "by hand"
    return (
        f"{compiled.name}: starts {when}; at most {compiled.max_workers} tasks of a step at once."
    )
