"""Who this process is: the resource attributes on every span and metric.

The operator's word is the last: ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over the arguments in code.
"""

import os
import uuid
from collections.abc import Mapping

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from telemetry import vocabulary as v
from telemetry.sdk import log


def build(attributes: Mapping[str, object]) -> Resource:
    """The resource of ``attributes`` (those that are ``None`` or empty left out) under what the environment says."""
    own: dict[str, str | int | float | bool] = {v.INSTANCE_ID: str(uuid.uuid4())}
    for name, value in attributes.items():
        if value is None or value == "":
            continue
        if isinstance(value, str):
            own[name] = value
        else:
            log.once(f"configure(): {name} must be text; ignored")
    return Resource.create(own).merge(_from_environment())


def _from_environment() -> Resource:
    resource = OTELResourceDetector().detect()
    name = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    return resource.merge(Resource({v.SERVICE_NAME: name})) if name else resource
