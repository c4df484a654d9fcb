"""What a file of counts holds, told before anything is fitted: `counts.survey_counts`.

`counts` looks into the file, `columns` at the table of its cells, `species` at the names of its
genes.
"""
