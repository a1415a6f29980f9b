"""Errors as the client sees them: one JSON object, ``migratable.error/1``."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from migratable.serve.schemas import ERROR


class Problem(Exception):  # noqa: N818 -- a client's, mostly
    """What is answered in the place of a verdict.

    :ivar status: HTTP status.
    :ivar error: short name of the cause, stable.
    :ivar drain: whether the rest of the body is still to come.
    """

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Keep the parts; *more* goes into the object."""
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.headers = headers or {}
        self.more = more

    def to_json(self) -> dict[str, Any]:
        """Give the object."""
        return {
            "schema": ERROR,
            "status": self.status,
            "error": self.error,
            "message": self.message,
            **self.more,
        }

    def response(self) -> JSONResponse:
        """Give the answer."""
        return JSONResponse(self.to_json(), self.status, headers=self.headers)


def too_busy(what: str, *, seconds: int = 5) -> Problem:
    """503, to be tried again."""
    return Problem(503, "busy", f"{what}; try again later", headers={"Retry-After": str(seconds)})
