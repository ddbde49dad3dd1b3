"""What is known of models: curated records in the package, and what providers' own lists say.

Rule: pure; nothing here asks anybody. What is not known stays unknown and is never taken for a no.
"""

from gateway.catalog.abilities import ability_of, is_free
from gateway.catalog.families import Known, known
from gateway.catalog.listing import MOST_MODELS, model_id, read_listing
from gateway.catalog.rows import Refresh, Row, only, records, search

__all__ = [
    "MOST_MODELS",
    "Known",
    "Refresh",
    "Row",
    "ability_of",
    "is_free",
    "known",
    "model_id",
    "only",
    "read_listing",
    "records",
    "search",
]
