"""Motion: optical flow, and pictures warped along it; layers fitted or linked by motion."""
