"""What both faces do with MRML nodes; the scene is passed in."""
