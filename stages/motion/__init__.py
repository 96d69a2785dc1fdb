"""Motion: optical flow, and pictures warped along it; layers fitted or linked by motion.

- ``flow`` computes flows between clear frames, warps and resizes.
- ``carry`` fits the flows of two scenes to frames in which both are mixed. It uses ``sampling`` (a
  quarter of the pixels at each step) and ``propose`` (motions that descent would not find).
- ``links`` links the frames of a layer along its own motion, so that they agree.
"""
