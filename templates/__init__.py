"""Pages and the files of a machine; a package, so that they are found wherever Calln is installed."""
