"""A conversation as one HTML page that needs nothing beside itself."""

from coda_core.cli.report.page import Factor, Mark, Report, Span, Voices, as_html

__all__ = ["Factor", "Mark", "Report", "Span", "Voices", "as_html"]
