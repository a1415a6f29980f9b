"""``lab campaign``: predictions against real QEMU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from migratable.cli._bar import bar

if TYPE_CHECKING:
    from migratable.campaign.campaign import Plan


@click.command("campaign")
@click.option("--seed", default=1, show_default=True, help="Seed of the random cases.")
@click.option(
    "--pairs",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Number of pairs to judge.",
)
@click.option("--releases", help="Only these, separated by commas [default: all in the lab]")
@click.option(
    "--arch",
    "archs",
    metavar="TARGET,…",
    help="Only these: x86_64, ppc64, aarch64, s390x, riscv64 [default: x86_64 and ppc64].",
)
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(1, 64), help="Processes at once."
)
@click.option(
    "--mutants",
    is_flag=True,
    help="Damage the streams of pairs that load, and count wrong predictions of loads; "
    "--pairs is then the number of damaged streams that are predicted to load.",
)
@click.option(
    "--conversions",
    is_flag=True,
    help="Load each machine on the other releases with the same command line, and count the "
    "refusals that no destination option removes and `migratable convert` does.",
)
@click.option("--held-out", is_flag=True, help="Use the kinds of devices that are held out.")
@click.option(
    "--accel",
    type=click.Choice(["tcg", "kvm"]),
    default="tcg",
    show_default=True,
    help="kvm: x86 machines, most of them under KVM, some from or to TCG.",
)
@click.option("--details", is_flag=True, help="Show disagreements of held-out kinds too.")
@click.option("--cached", is_flag=True, help="Judge all cases in the cache; run no new ones.")
@click.option("--fill", is_flag=True, help="Only run real QEMU, without predictions.")
@click.option("--case", "case", metavar="KEY", help="Judge one case of the cache and show it.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of QEMU's results [default: in the user's cache folder]",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each disagreement into this folder, with stream and command lines.",
)
@click.option("--most", default=40, show_default=True, help="Disagreements to show.")
@click.option("--each", default=1, show_default=True, help="Cases of each to show.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def campaign(
    seed: int,
    pairs: int,
    releases: str | None,
    archs: str | None,
    jobs: int,
    mutants: bool,
    conversions: bool,
    held_out: bool,
    accel: str,
    details: bool,
    cached: bool,
    fill: bool,
    case: str | None,
    folder: Path | None,
    keep: Path | None,
    most: int,
    each: int,
    form: str,
) -> None:
    """Measure predictions on random machines against real QEMU.

    campaign makes random machines from the seed, saves each on one release and loads it on another.
    It compares QEMU's result with the prediction of `migratable check`, and caches QEMU's results,
    so the next run with the same seed takes a fraction of the time. The exit status is 1 if QEMU
    refused a load that was predicted.
    """
    import json

    from rich.console import Console

    from migratable.campaign import campaign as work
    from migratable.campaign import report
    from migratable.campaign.cases import USUAL
    from migratable.campaign.judge import Grade

    plan = work.Plan(
        folder=folder or work.default_folder(),
        seed=seed,
        pairs=pairs,
        releases=tuple(releases.split(",")) if releases else (),
        archs=tuple(archs.split(",")) if archs else USUAL,
        jobs=jobs,
        held_out=held_out,
        kvm=accel == "kvm",
        predicts=not fill,
        cached=cached,
    )
    if mutants:
        _mutants(plan, form, most=most)
    if conversions:
        _conversions(plan)
    if case is not None:
        found = work.one_case(plan.folder, case)
    else:
        with bar("campaign") as progress:
            found = work.carry_out(
                plan, lambda done: progress(min(1.0, done / pairs), f"{done} pairs")
            )
    if fill:
        click.echo(f"{pairs} pairs are in {plan.folder}", err=True)
        return
    if keep is not None:
        click.echo(f"{work.keep(found, plan, keep)} disagreements in {keep}", err=True)
    hidden = held_out and not details and case is None
    if form == "json":
        conditions: dict[str, Any] = {"seed": seed, "pairs": pairs, "held_out": held_out}
        conditions |= {"cached": cached, "accel": accel}
        click.echo(
            json.dumps(report.to_json(found, hidden=hidden, conditions=conditions), indent=1)
        )
    elif case is not None:
        for one in found:
            click.echo(f"{one.grade}\n{report.details(one)}")
    else:
        console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)
        report.show(found, console, hidden=hidden, most=most, each=each)
    sys.exit(1 if any(judgement.grade is Grade.WRONG_LOADS for judgement in found) else 0)


def _conversions(plan: Plan) -> NoReturn:
    """Measure conversions; the exit status is 1 when a converted stream does not load."""
    import json

    from migratable.campaign import conversions

    if not plan.releases:
        raise click.UsageError("--conversions needs --releases")
    with bar("conversions") as progress:
        tally = conversions.carry_out(
            plan, lambda done: progress(min(1.0, done / plan.pairs), f"{done} pairs")
        )
    found = tally.to_json()
    click.echo(json.dumps(found, indent=1))
    done = found["results"].get("converted", 0)
    sys.exit(0 if found["converted_and_loads"] == done else 1)


def _mutants(plan: Plan, form: str, *, most: int) -> NoReturn:
    """Judge damaged streams; the exit status is 1 when one was said to load and does not."""
    import json

    from migratable.campaign import campaign, mutants

    with bar("damaged streams") as progress:
        tally = mutants.carry_out(
            campaign.cases(plan),
            plan.folder,
            wanted=plan.pairs,
            jobs=plan.jobs,
            seed=plan.seed,
            progress=lambda done: progress(min(1.0, done / plan.pairs), f"{done} judged"),
        )
    if form == "json":
        click.echo(json.dumps(tally.to_json(), indent=1))
    else:
        click.echo("\n".join(mutants.lines(tally, most=most)))
    sys.exit(1 if tally.false_loads else 0)
