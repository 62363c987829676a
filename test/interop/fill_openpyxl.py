"""Fills in a recipient workbook with openpyxl: fill_openpyxl.py IN OUT ROWS (JSON)."""
import json
import sys

import openpyxl

source, target, rows = sys.argv[1:]
workbook = openpyxl.load_workbook(source)
sheet = workbook["Recipients"]
for index, row in enumerate(json.loads(rows)):
    for column, text in enumerate(row):
        sheet.cell(row=index + 2, column=column + 1, value=text)
workbook.save(target)
