"""Manifests from documents: names, objects, their validation, and the one door to the Kubernetes API."""
