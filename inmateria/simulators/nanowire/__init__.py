"""Networks of nanowires: geometry, junctions, Kirchhoff's laws, and many networks in the lanes of vectors."""
