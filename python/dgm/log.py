"""Structured log lines: one event per line, UTC, key=value on a terminal and JSON elsewhere. Cores do not log."""

from __future__ import annotations

import logging
import sys

import structlog


def setup(role: str, *, level: str = "INFO") -> None:
    """Configure the process once. `role` stands in every line."""
    terminal = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    structlog.contextvars.bind_contextvars(role=role)


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """A logger of one part of the product."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(part=part)
    return bound
