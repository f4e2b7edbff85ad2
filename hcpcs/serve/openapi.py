"""The description of ``hcpcs serve`` by OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from hcpcs.serve.questions import MOST_CHANGES, MOST_CODES, MOST_MATCHES

_DAY = {"type": "string", "format": "date"}
_TEXT = {"type": "string"}


def document(version: str) -> dict[str, Any]:
    """The description, of a service that answers by this version of the data."""
    codes = {"name": "codes", "description": "Codes and modifiers, separated by commas.", "schema": _TEXT}
    release = {"type": "string", "examples": ["2025-10", "latest"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hcpcs: US procedure codes as a dated record",
            "version": version,
            "description": "Read-only answers of one published version, open tier. The version of this document is that"
            " of the data. What belongs to the AMA or the ADA is withheld, and every answer states what it leaves out.",
        },
        "paths": {
            "/": {"get": _operation("start", "What there is to ask", [], "Start")},
            "/openapi.json": {"get": _operation("openapi", "This document", [], "Document")},
            "/codes/{code}": {
                "get": _operation(
                    "lookup",
                    "What a code or modifier means, in its latest state or on a day",
                    [
                        {"name": "code", "in": "path", "required": True, "schema": _TEXT},
                        _parameter("on", "The day; without it, every episode in its latest state.", _DAY),
                    ],
                    "LookupAnswer",
                )
            },
            "/check": {
                "get": _operation(
                    "check",
                    "What each code of a list is on a day",
                    [
                        codes | {"in": "query", "required": True},
                        _parameter("on", "The day; by default today.", _DAY),
                        _parameter("since", "Also what changed after this release.", release),
                    ],
                    "Answer",
                ),
                "post": _operation("checkList", "The same of a list in the body", [], "Answer")
                | {
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["codes"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "codes": {
                                            "type": "array",
                                            "minItems": 1,
                                            "maxItems": MOST_CODES,
                                            "items": _TEXT,
                                        },
                                        "on": _DAY,
                                        "since": release,
                                    },
                                }
                            }
                        },
                    }
                },
            },
            "/search": {
                "get": _operation(
                    "search",
                    "Codes whose descriptions, of any time, have all the words",
                    [
                        {"name": "q", "in": "query", "required": True, "schema": _TEXT},
                        _parameter("limit", "The most matches.", _number(1, MOST_MATCHES, 50)),
                    ],
                    "PageAnswer",
                )
            },
            "/changes": {
                "get": _operation(
                    "changes",
                    "What a release changed against the loaded release before it",
                    [
                        _parameter("release", "The release.", release | {"default": "latest"}),
                        codes | {"in": "query"},
                        _parameter("change", "Only this class of change, such as added.", _TEXT),
                        _parameter("limit", "The most rows.", _number(1, MOST_CHANGES, 1_000)),
                        _parameter("offset", "Rows to skip.", _number(0, None, 0)),
                    ],
                    "PageAnswer",
                )
            },
        },
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    withheld = {
        "type": "object",
        "required": ["code", "fields", "license_id"],
        "properties": {
            "code": {"type": ["string", "null"]},
            "fields": {"type": "array", "items": _TEXT},
            "license_id": {"type": ["string", "null"]},
        },
    }
    answer = {
        "type": "object",
        "required": ["version", "newest_release", "question", "answer", "licenses", "withheld"],
        "properties": {
            "version": {"type": "string", "description": "The version that answers, such as 2025.10.1."},
            "newest_release": {"type": "string", "description": "The newest release in it."},
            "question": {"type": "object", "description": "The question, as it was read."},
            "answer": {
                "type": ["object", "array"],
                "description": "Rows with the columns of the published tables; docs/tables.md describes each.",
            },
            "licenses": {
                "type": "object",
                "description": "The licenses that the answer is under: id and name.",
                "additionalProperties": {"type": ["string", "null"]},
            },
            "withheld": {"type": "array", "description": "What is left out, by code.", "items": withheld},
        },
    }
    return {
        "Answer": answer,
        "LookupAnswer": _more(
            answer, "stated", {"type": "boolean", "description": "Whether a loaded release states it."}
        ),
        "PageAnswer": _more(answer, "total", {"type": "integer", "description": "How many rows there are in all."}),
        "Error": {"type": "object", "required": ["error"], "properties": {"error": _TEXT, "version": _TEXT}},
        "Start": {"type": "object", "required": ["version", "newest_release", "paths"]},
        "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
    }


def _more(answer: dict[str, Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return answer | {"required": [*answer["required"], name], "properties": answer["properties"] | {name: schema}}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _number(least: int, most: int | None, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "default": default} | ({} if most is None else {"maximum": most})


def _operation(name: str, summary: str, parameters: list[dict[str, Any]], schema: str) -> dict[str, Any]:
    def content(of: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{of}"}}}

    etag = {"ETag": {"description": "The version, and today where the question has no day.", "schema": _TEXT}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer.", "headers": etag, "content": content(schema)},
            "304": {"description": "The answer is the one of `If-None-Match`."},
            "400": {"description": "A parameter cannot be read.", "content": content("Error")},
            "404": {
                "description": "No loaded release states it; of a code, what its format says.",
                "content": content(schema if schema == "LookupAnswer" else "Error"),
            },
        },
    }
