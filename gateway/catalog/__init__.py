"""What is known of models: curated records in the package, and what providers' own lists say.

Rule: pure; nothing here asks anybody. What is not known stays unknown and is never taken for a no.
"""

from gateway.catalog.abilities import ability_of, combined, is_free
from gateway.catalog.families import Known, known

__all__ = ["Known", "ability_of", "combined", "is_free", "known"]
