"""Measurements that go into the documentation."""
