"""The mapping tables of xrdatasets: data only (`README.md` explains every column)."""
