"""Optical flow, and frames carried along it."""
