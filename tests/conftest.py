"""What every test may use."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.plugin", "tests.simulation.plugin"]

# A busy machine is no failure. What Hypothesis chooses by itself where CI runs (one order of examples) is kept.
settings.register_profile("gate", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gate")
