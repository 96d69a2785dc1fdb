"""Read files to RGB frames with exact times, and write layers back to files.

Start at :func:`stages.media.read.open_clip` and :class:`stages.media.write.LayerWriter`. Files come
from strangers, so all parsing here is bounded.

Before a file is opened:

- ``sniff`` looks at its first bytes, and ``bombs`` refuses what would unpack to too much.
- ``trial`` opens it in a child process (``trial_child``), which may crash.
- ``picture_folders`` says which files of a folder are frames of one clip, and ``input_checks``
  whether several pictures fit each other.

From a file to frames:

- ``decode`` gives the frames in the order of display. ``fields`` recognises interlacing, and
  ``deinterlace`` removes it.
- A ``stored_frame`` is as the decoder returns it. ``frame_pixels`` makes it RGB, by ``convert``
  and ``planes``, and ``orientation`` upright. ``frame_cache`` keeps decoded frames on disk.
- ``describe`` collects the facts of a clip, which ``clip`` defines. They come from containers
  (``stream_facts``, by ``ebml`` and ``mp4_boxes``), packets (``bitstream``) and pictures
  (``picture_metadata``, ``exif``, by ``tiff_directories``). ``color_tags`` and ``timecode`` say
  what some of them mean.

From layers to files:

- ``containers`` has one file for each output container, and ``formats`` chooses one for a layer.
- ``encoder_frames`` makes the frames that an encoder takes. ``tone`` converts HDR for it, and
  ``chroma_place`` says whether an input's codes can be taken over.
- ``write`` gives each frame to a ``layer_sink``, for as long as it is shown.
- ``mux`` writes videos with ``input_tracks`` (``audio``, ``subtitles``) and ``labels`` (tags and
  chapters), and ``video_headers`` completes their headers.
- ``picture_file`` writes pictures with ``picture_headers``, and ``wav`` the audio beside them.

Besides: ``filter_graph`` and ``library_errors`` wrap parts of the media library. ``sheet`` draws
contact sheets, ``thumbnails`` (by ``thumbnails_child``) takes small pictures out of videos, and
``selftest`` tries out all formats.
"""
