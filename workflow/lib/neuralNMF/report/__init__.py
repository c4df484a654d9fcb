"""The report of a run, one HTML page: numbers and tables in, the page's text out."""
