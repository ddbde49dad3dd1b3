"""Tests against real servers, started and ended by the test that needs them."""
