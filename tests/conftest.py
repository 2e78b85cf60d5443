"""What every test shares: hypothesis measures no time, and a failure today is the same failure tomorrow."""

from hypothesis import settings

settings.register_profile("rekur", deadline=None, derandomize=True)
settings.load_profile("rekur")
