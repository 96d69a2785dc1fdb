"""Use what the user marked: regions drawn in some frames become log-odds and a matte.

The route of the data in a window, where no matte of an earlier run is given:

1. ``evidence``: the regions of one frame become certain pixels and log-odds of the others.
2. ``cut_out``: from these and the frame's colours, the thing is cut out of the frame;
   ``color_odds`` compares the colours, and ``relaxed_cut`` draws the edge. ``rough_mask`` does
   all this for a filled area, whose edge is drawn inexactly.
3. ``marked_frames`` chooses between these for every frame of the window that has regions. It
   returns one ``MarkedFrame`` for each: what is certain, and the log-odds of the cut.
4. ``in_window`` carries the marked frames along the optical flow, joins them with the log-odds of
   motion, and keeps certain pixels certain in the matte.

``hint_picture`` replaces steps 1 to 3 in a window that moves and has no regions of its own: the
hint is then one picture for the whole clip.

``correction`` is the other route, for ``--refine``: new regions change the matte of an earlier run.
Step 1 is the same. ``growth`` then finds how far each change reaches in its frame, and
``correction`` follows it through the window.
"""
