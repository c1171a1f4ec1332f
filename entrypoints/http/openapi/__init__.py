"""The OpenAPI document, made from what is served: routes, field tables, refusals."""

from entrypoints.http.openapi.document import document

__all__ = ["document"]
