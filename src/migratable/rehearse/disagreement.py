"""Compare prediction and rehearsal; write a bundle to report if they differ."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable import paths, redact
from migratable.commandline import CommandLine
from migratable.profile.store import without_secrets
from migratable.rehearse.destination import Destination, Rehearsed, try_destination
from migratable.rehearse.verdict import verdict
from migratable.stream import Stream, write
from migratable.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from migratable.profile.model import Profile


def differences(predicted: Verdict, rehearsed: Verdict) -> list[str]:
    """Contradictions of two verdicts about the same pair, in words; empty if they agree.

    ``unknown`` contradicts nothing. Of two refusals the first error line must be the same.
    """
    if Outcome.UNKNOWN in {predicted.outcome, rehearsed.outcome}:
        return []
    if predicted.outcome is not rehearsed.outcome:
        return [f"predicted: {predicted.outcome}; the real QEMU: {rehearsed.outcome}"]
    refusal, other = predicted.first_refusal, rehearsed.first_refusal
    if refusal is None or other is None or refusal.message == other.message:
        return []
    return [f"predicted message: {refusal.message}", f"the real QEMU's:   {other.message}"]


def named(rehearsed: Verdict, predicted: Verdict) -> Verdict:
    """The rehearsal's refusal by the cause that the prediction found for the same line.

    A line alone may stand for several causes (``error while loading state … of device 'cpu'``).
    """
    one, other = rehearsed.first_refusal, predicted.first_refusal
    if one is None or other is None or one.message != other.message:
        return rehearsed
    cause = next((finding for finding in predicted.findings if _refuses(finding)), None)
    if cause is None or (cause.rule, cause.device) != (other.rule, other.device):
        return rehearsed
    findings = tuple(
        replace(cause, stderr=finding.stderr) if _refuses(finding) else finding
        for finding in rehearsed.findings
    )
    refusal = replace(one, rule=other.rule, device=other.device, instance_id=other.instance_id)
    return replace(rehearsed, findings=findings, first_refusal=refusal)


def _refuses(finding: Finding) -> bool:
    return finding.severity is Severity.REFUSES


def joined(predicted: Verdict, rehearsed: Verdict) -> Verdict:
    """What both say together; the real program is right where they differ."""
    if predicted.outcome is Outcome.UNKNOWN:
        return with_dangers(rehearsed, predicted)
    if rehearsed.outcome is Outcome.UNKNOWN:
        return predicted
    found = differences(predicted, rehearsed)
    if found:
        return replace(with_dangers(rehearsed, predicted), disagreement=tuple(found))
    return replace(predicted, basis=rehearsed.basis, stderr=rehearsed.stderr)


def with_dangers(verdict: Verdict, predicted: Verdict) -> Verdict:
    """What a load does not show: what may break later."""
    later = [
        finding
        for finding in predicted.findings
        if finding.severity in {Severity.ENDANGERS, Severity.LATENT}
        and finding not in verdict.findings
    ]
    return replace(verdict, findings=(*verdict.findings, *later))


def both(
    stream: Stream,
    command_line: CommandLine | Sequence[str] | str,
    *,
    predicted: Verdict,
    release: str | None = None,
    profile: Profile | None = None,
    timeout: float = 60.0,
    source: dict[str, Any] | None = None,
    bundles: Path | None = None,
) -> Verdict:
    """Rehearse a predicted pair, and compare.

    :param profile: of the destination, for the bundle.
    :param bundles: folder in which a bundle's folder is made (default: the user's state folder).
    :return: the rehearsed verdict. When *predicted* contradicts it, its ``disagreement`` says how
        and names the folder with everything to report.
    :raise MigratableError: As :func:`migratable.rehearse.rehearse`.
    """
    destination = Destination(command_line=command_line, release=release)
    done = try_destination(stream, destination, timeout=timeout)
    rehearsed = verdict(done, source=source)
    found = differences(predicted, rehearsed)
    if not found:
        return rehearsed
    try:
        folder = write_bundle(
            bundles or default_folder(), done, predicted, rehearsed, found, profile=profile
        )
    except OSError as error:  # the answer does not depend on it
        found.append(f"the folder to report could not be written: {error.strerror}")
    else:
        found.append(f"please report the folder {folder}")
    return replace(rehearsed, disagreement=tuple(found))


def default_folder() -> Path:
    """Where bundles go: ``disagreements`` in the user's state folder of this program."""
    return paths.state() / "disagreements"


def write_bundle(
    folder: Path,
    done: Rehearsed,
    predicted: Verdict,
    rehearsed: Verdict,
    found: Sequence[str],
    *,
    profile: Profile | None = None,
) -> Path:
    """Write stream, profile, command line and both verdicts into a new folder in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(1000):
        target = folder / (stamp if not number else f"{stamp}-{number}")
        try:
            target.mkdir(mode=0o700)
            break
        except FileExistsError:
            continue
    (target / "stream.mig").write_bytes(write(done.stream))
    text = shlex.join(redact.words(done.command_line))  # it is to be sent to others
    (target / "command-line.txt").write_text(text + "\n", encoding="utf-8")
    inert = [*done.facts.get("program", done.quiet.program), *done.quiet.plain_argv]
    started = shlex.join(redact.words(inert))
    (target / "inert-command-line.txt").write_text(started + "\n", encoding="utf-8")
    for name, one in (("predicted", predicted), ("rehearsed", rehearsed)):
        data = json.dumps(one.to_json(), indent=1, ensure_ascii=False)
        (target / f"{name}.json").write_text(data + "\n", encoding="utf-8")
    if profile is not None:
        (target / "profile.json").write_text(without_secrets(profile).dumps(), encoding="utf-8")
    lines = [
        "Prediction and rehearsal differ.",
        *found,
        "",
        "stream.mig holds the device state that was sent; of guest memory only made-up pages and,",
        "with an Intel IOMMU in use, its tables. To see it again:",
        f"  migratable rehearse stream.mig -- {text}",
        f"  migratable check stream.mig -- {text}",
    ]
    (target / "README.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target
