"""The OpenAPI description of the service: OpenAPI 3.1, made for the settings at hand.

Written by hand rather than made from types: the verdict is a contract of its own
(``docs/reference/json.md``), and the tests hold real answers against what is said here.
"""

from __future__ import annotations

from typing import Any

from migratable import __version__
from migratable.serve import problem
from migratable.serve.settings import Settings
from migratable.verdict import SCHEMA, Basis, Outcome, Severity, Side

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}


def describe(settings: Settings) -> dict[str, Any]:
    """Give the description."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "migratable",
            "version": __version__,
            "description": "Will this QEMU virtual machine load on that destination?",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(settings),
        "components": {"schemas": _schemas(), "responses": _problems()},
    }
    if settings.token is not None:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {
                "type": "http",
                "scheme": "basic",
                "description": "For browsers: any user, the token as password.",
            },
        }
        document["security"] = [{"bearer": []}, {"basic": []}]
    return document


def _paths(settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    binary: dict[str, Any] = {"schema": {}}
    wrong = ("400", "401", "404", "408", "413", "415", "421", "422", "500", "503", "507")
    return {
        "/check": {
            "post": {
                "operationId": "check",
                "summary": "Predict whether the destination loads the stream.",
                "description": "The body is a migration stream (bare, compressed, a libvirt save "
                "image, a qcow2 with an internal snapshot) or a profile. With one destination the "
                "answer is a verdict, with several an object of verdicts.",
                "parameters": [
                    {
                        "name": "to",
                        "in": "query",
                        "required": True,
                        "description": "Name of a profile that the service knows; may be repeated.",
                        "schema": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 64},
                        "style": "form",
                        "explode": True,
                    },
                    {
                        "name": "name",
                        "in": "query",
                        "description": "What to call the machine in the answer.",
                        "schema": {"type": "string", "maxLength": 200},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "description": f"At most {limits.stream} bytes of a stream, "
                    f"{limits.profile} of a profile.",
                    "content": {
                        "application/octet-stream": binary,
                        "application/json": {"schema": _schema("Profile")},
                    },
                },
                "responses": {
                    "200": {
                        "description": "The verdict; also when it is refused or unknown.",
                        "content": {
                            "application/json": {
                                "schema": {"oneOf": [_schema("Verdict"), _schema("Verdicts")]}
                            }
                        },
                    },
                    **_wrong(*wrong),
                },
            }
        },
        "/profiles": _get("profiles", "The destinations that may be named.", "Profiles"),
        "/health": _get(
            "health", "Whether the service runs; needs no token.", "Health", open_=True
        ),
        "/openapi.json": _get("openapi", "This description.", None),
        "/matrix": _get("matrix", "The fleet's matrix, or of what was asked so far.", "Matrix"),
        "/": {
            "get": {
                "operationId": "page",
                "summary": "The same as an HTML page.",
                "responses": {
                    "200": {"description": "The page.", "content": {"text/html": {}}},
                    **_wrong("401", "421", "500", "503"),
                },
            }
        },
    }


def _get(name: str, summary: str, schema: str | None, *, open_: bool = False) -> dict[str, Any]:
    content = {"schema": {"type": "object"} if schema is None else _schema(schema)}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {"application/json": content}},
            **_wrong("401", "421", "500"),
        },
    }
    if open_:
        operation["security"] = []
    return {"get": operation}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _wrong(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": "#/components/responses/Problem"} for status in statuses}


def _problems() -> dict[str, Any]:
    content = {"application/json": {"schema": _schema("Problem")}}
    return {"Problem": {"description": "No verdict, and why.", "content": content}}


def _object(required: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": members}
    if required:
        found["required"] = list(required)
    return found


def _enum(values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [str(one) for one in values]}


def _schemas() -> dict[str, Any]:
    hint = _object(
        ("action", "command", "side", "needs_guest_restart", "verified"),
        action=_TEXT,
        command=_TEXT_OR_NULL,
        side=_enum(Side),
        needs_guest_restart={"type": "boolean"},
        verified={"enum": [None, *(str(one) for one in Basis)]},
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
        hints={"type": "array", "items": _schema("Hint")},
    )
    refusal = _object((*place, "message", "stderr"), **place, message=_TEXT, stderr=_TEXTS)
    verdict = _object(
        ("schema", "verdict", "basis", "first_refusal", "findings", "unchecked", "stderr"),
        schema={"const": SCHEMA},
        verdict=_enum(Outcome),
        basis=_enum(Basis),
        source={"type": "object"},
        destination={"type": "object"},
        first_refusal={"oneOf": [{"type": "null"}, _schema("Refusal")]},
        findings={"type": "array", "items": _schema("Finding")},
        unchecked=_TEXTS,
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
    return {
        "Verdict": verdict,
        "Verdicts": _object(
            ("schema", "verdicts"),
            schema={"const": "migratable.verdicts/1"},
            verdicts={"type": "object", "additionalProperties": _schema("Verdict")},
        ),
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
            schema={"const": problem.SCHEMA},
            status={"type": "integer"},
            error=_TEXT,
            message=_TEXT,
        ),
    }
