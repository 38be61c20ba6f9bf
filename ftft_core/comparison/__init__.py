"""Comparison of finished runs: intervals, differences, costs, tables, and transfer between references."""
