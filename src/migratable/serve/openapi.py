"""The OpenAPI description of the service: OpenAPI 3.1, made for the settings at hand.

Written by hand rather than made from types: the verdict is a contract of its own
(``docs/reference/json.md``), and the tests hold real answers against what is said here.
"""

from __future__ import annotations

from typing import Any

from migratable import __version__
from migratable.serve.schemas import reference, schemas
from migratable.serve.settings import Settings

_TEXT = {"type": "string"}


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
        "components": {"schemas": schemas(), "responses": _problems()},
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
                        "description": "The VM's name in the answer.",
                        "schema": {"type": "string", "maxLength": 200},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "description": f"At most {limits.stream} bytes of a stream, "
                    f"{limits.profile} of a profile.",
                    "content": {
                        "application/octet-stream": binary,
                        "application/json": {"schema": reference("Profile")},
                    },
                },
                "responses": {
                    "200": {
                        "description": "The verdict; also when it is refused or unknown.",
                        "content": {
                            "application/json": {
                                "schema": {"oneOf": [reference("Verdict"), reference("Verdicts")]}
                            }
                        },
                    },
                    **_wrong(*wrong),
                },
            }
        },
        "/profiles": _get("profiles", "The known destinations.", "Profiles"),
        "/health": _get(
            "health", "Whether the service runs; needs no token.", "Health", open_=True
        ),
        "/openapi.json": _get("openapi", "This description.", None),
        "/matrix": _get(
            "matrix", "The fleet's matrix, or that of the pairs asked about so far.", "Matrix"
        ),
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
    content = {"schema": {"type": "object"} if schema is None else reference(schema)}
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


def _wrong(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": "#/components/responses/Problem"} for status in statuses}


def _problems() -> dict[str, Any]:
    content = {"application/json": {"schema": reference("Problem")}}
    return {"Problem": {"description": "No verdict, with the reason.", "content": content}}
