"""The domain's tests run where nothing is installed but attrs, pytest and hypothesis."""

from hypothesis import settings

settings.register_profile("modest", max_examples=60, deadline=None)
settings.load_profile("modest")
