"""Pictures of cells and networks: from a graph or a plan to a scene, from a scene to SVG or PNG. No torch in here."""
