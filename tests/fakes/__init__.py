"""Small made-up packs, runs and boards for the tests."""
