"""Secrets and prompts while everything crashes: they are seen nowhere, and nothing is left behind."""
