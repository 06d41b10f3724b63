import pytest
from hypothesis import settings
from simulated_cases import Simulated, simulate

# Time per example says nothing on a machine that others use too.
settings.register_profile("kemm", deadline=None)
settings.load_profile("kemm")


@pytest.fixture
def cohort() -> Simulated:
    return simulate(200, seed=1)


@pytest.fixture
def tied_cohort() -> Simulated:
    return simulate(200, seed=2, whole_months=True)


@pytest.fixture
def training() -> Simulated:
    return simulate(300, seed=3)
