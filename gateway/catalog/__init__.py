"""Knowledge of models: curated records in the package, and the readers of providers' own lists.

Rule: pure, without requests. An unknown ability stays unknown, and is never taken for a missing one.
"""

from gateway.catalog.abilities import ability_of, is_free
from gateway.catalog.endings import Ending, configured_models, missing_since, retiring, unlisted
from gateway.catalog.families import Known, known
from gateway.catalog.ids import is_listed
from gateway.catalog.listing import MOST_MODELS, model_id, read_listing
from gateway.catalog.rows import Refresh, Row, nowhere, only, records, search

__all__ = [
    "MOST_MODELS",
    "Ending",
    "Known",
    "Refresh",
    "Row",
    "ability_of",
    "configured_models",
    "is_free",
    "is_listed",
    "known",
    "missing_since",
    "model_id",
    "nowhere",
    "only",
    "read_listing",
    "records",
    "retiring",
    "search",
    "unlisted",
]
