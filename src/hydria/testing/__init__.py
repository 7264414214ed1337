"""Shipped fakes, builders and contract suites, for the tests of Hydria and of driver authors."""
