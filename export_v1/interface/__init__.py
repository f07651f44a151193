"""What goes into a graph, what comes out and what is held fixed: given, or chosen and said."""

from export_v1.interface.listing import data as listed
from export_v1.interface.listing import text as listing
from export_v1.interface.offers import candidates, look
from export_v1.interface.offers import of as offered
from export_v1.interface.resolving import resolve
from export_v1.interface.telling import telling
from export_v1.interface.types import Candidate, Candidates, Choice, Input, Interface

__all__ = [
    "Candidate",
    "Candidates",
    "Choice",
    "Input",
    "Interface",
    "candidates",
    "listed",
    "listing",
    "look",
    "offered",
    "resolve",
    "telling",
]
