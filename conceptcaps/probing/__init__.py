"""Probing: classifiers, activations, concept sets and TCAV."""
