"""Measurements, each beside a rival or a bound in the same run: `make bench FROM=../shared/cms`."""
