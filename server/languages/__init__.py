"""Languages of the page: their catalogs, which one a browser gets, and the names of countries in it."""
