"""Tests of the running product. A package, so that its sites end with it and not with the whole run."""
