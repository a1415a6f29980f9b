"""JSON Schemas of what the service gives and the command line prints, as OpenAPI 3.1 has them."""

from __future__ import annotations

from typing import Any

from migratable.unchecked import Code
from migratable.verdict import SCHEMA, Basis, Outcome, Severity, Side

ERROR = "migratable.error/1"
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}


def reference(name: str) -> dict[str, str]:
    """Refer to a schema within the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": members}
    if required:
        found["required"] = list(required)
    return found


def _enum(values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [str(value) for value in values]}


def schemas() -> dict[str, Any]:
    """All schemas by name; they refer to each other with :func:`reference`."""
    hint = _object(
        ("action", "command", "side", "needs_guest_restart", "verified"),
        action=_TEXT,
        command=_TEXT_OR_NULL,
        side=_enum(Side),
        needs_guest_restart={"type": "boolean"},
        verified={"enum": [None, *(str(basis) for basis in Basis)]},
        changes=_TEXT,
        comes_back={"enum": [None, True, False]},
        way_back=_TEXT,
    )
    place = {"rule": _TEXT, "device": _TEXT_OR_NULL, "instance_id": _NUMBER_OR_NULL}
    finding = _object(
        (*place, "severity", "summary", "hints"),
        **place,
        severity=_enum(Severity),
        subsection=_TEXT_OR_NULL,
        field=_TEXT_OR_NULL,
        summary=_TEXT,
        explanation=_TEXT,
        stderr=_TEXTS,
        hints={"type": "array", "items": reference("Hint")},
    )
    refusal = _object((*place, "message", "stderr"), **place, message=_TEXT, stderr=_TEXTS)
    verdict = _object(
        ("schema", "verdict", "basis", "first_refusal", "findings", "unchecked", "stderr"),
        schema={"const": SCHEMA},
        verdict=_enum(Outcome),
        basis=_enum(Basis),
        source={"type": "object"},
        destination={"type": "object"},
        first_refusal={"oneOf": [{"type": "null"}, reference("Refusal")]},
        findings={"type": "array", "items": reference("Finding")},
        unchecked=_TEXTS,
        unchecked_codes={"type": "array", "items": _enum(Code)},
        stderr=_TEXTS,
        project=_TEXTS,
    )
    one = _object(
        ("name", "version", "machine", "taken", "bundled"),
        name=_TEXT,
        version=_TEXT_OR_NULL,
        machine=_TEXT_OR_NULL,
        taken=_TEXT_OR_NULL,
        bundled={"type": "boolean"},
    )
    hop = _object(
        ("host", "verdict", "after", "assumed", "stuck"),
        host=_TEXT,
        verdict=reference("Verdict"),
        after={"enum": [None, *(str(basis) for basis in Basis)]},
        assumed=_TEXTS,
        stuck=_TEXT_OR_NULL,
    )
    route = _object(
        ("schema", "outcome", "source", "destination", "direct", "hops", "tried", "left_out"),
        schema={"const": "migratable.route/1"},
        outcome=_enum(Outcome),
        source={"type": "object"},
        destination=_TEXT,
        direct=reference("Verdict"),
        hops={"type": "array", "items": reference("Hop")},
        tried={
            "type": "array",
            "items": {"allOf": [reference("Hop"), _object(("path",), path=_TEXTS)]},
        },
        left_out=_TEXTS,
    )
    return {
        "Verdict": verdict,
        "Verdicts": _object(
            ("schema", "verdicts"),
            schema={"const": "migratable.verdicts/1"},
            verdicts={"type": "object", "additionalProperties": reference("Verdict")},
        ),
        "Route": route,
        "Hop": hop,
        "Refusal": refusal,
        "Finding": finding,
        "Hint": hint,
        "Profiles": _object(
            ("schema", "profiles"),
            schema={"const": "migratable.profiles/1"},
            profiles={"type": "array", "items": one},
        ),
        "Matrix": _object(
            ("schema", "vms", "hosts", "answers", "cells"),
            schema={"const": "migratable.matrix/1"},
        ),
        "Profile": _object(("schema",), schema={"const": "migratable.profile/1"}),
        "Health": _object(("status", "version"), status={"const": "ok"}, version=_TEXT),
        "Problem": _object(
            ("schema", "status", "error", "message"),
            schema={"const": ERROR},
            status={"type": "integer"},
            error=_TEXT,
            message=_TEXT,
        ),
    }
