"""A user asks whether a record passes, and why it does not."""

from typing import reveal_type

import esm

criteria = esm.FilterCriteria([{"data": {"kind": ["order"]}}, '{"data": {"kind": ["refund"]}}'], source="kinesis")
reveal_type(criteria)  # R: esm.filtering.criteria.FilterCriteria
reveal_type(criteria.matches({"kinesis": {"data": "e30="}}))  # R: bool
esm.FilterCriteria([{"data": {"kind": ["order"]}}], source="s3")  # E: arg-type
