"""The domain's tests also run where nothing is installed but attrs, pytest and hypothesis, without the top conftest."""

from hypothesis import settings

if settings().deadline is not None:  # no profile of the whole suite is loaded
    settings.register_profile("alone", deadline=None)
    settings.load_profile("alone")
