"""What every driver must do, as test classes: a driver's author subclasses one and gives it fixtures.

    class TestMyNetworkDriver(NetworkAllocationContract):
        @pytest.fixture
        def driver(self) -> MyNetworkDriver: ...

Hydria's own drivers pass the same suites (tests/contract). Each class names the fixtures that it needs.
"""
