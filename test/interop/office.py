"""Does with LibreOffice what a person would do, and prints what came of it as JSON.

office.py fill IN OUT ROWS      types ROWS (JSON) below the header as a keyboard would, tries to change the header, saves
office.py convert IN OUT FILTER [PASSWORD]
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import uno
from com.sun.star.beans import NamedValue, PropertyValue


def properties(**values):
    made = []
    for name, value in values.items():
        one = PropertyValue()
        one.Name, one.Value = name, value
        made.append(one)
    return tuple(made)


def connect(pipe):
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    deadline = time.monotonic() + 60
    while True:
        try:
            return resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def type_into(context, document, cell, text):
    dispatcher = context.ServiceManager.createInstanceWithContext("com.sun.star.frame.DispatchHelper", context)
    controller = document.CurrentController
    controller.select(cell)
    dispatcher.executeDispatch(controller.Frame, ".uno:EnterString", "", 0, properties(StringName=text))


def is_refused(sheet, cell):
    # Not typed: the dialogue that says "protected" would have nobody to close it. Nor setString, which ignores protection.
    place = cell.CellAddress
    try:
        sheet.getCellRangeByPosition(place.Column, place.Row, place.Column, place.Row).setDataArray((("changed",),))
        return False
    except uno.getClass("com.sun.star.uno.RuntimeException"):
        return True


def fill(context, desktop, source, target, rows):
    document = desktop.loadComponentFromURL(uno.systemPathToFileUrl(source), "_blank", 0, properties(Hidden=True))
    sheet = document.Sheets.getByName("Recipients")
    document.CurrentController.setActiveSheet(sheet)
    header = sheet.getCellByPosition(0, 0)
    before = header.String
    beyond = sheet.getCellByPosition(len(rows[0]) + 3, 0)
    refused = sum(is_refused(sheet, locked) for locked in (header, beyond))
    for index, row in enumerate(rows):
        for column, text in enumerate(row):
            type_into(context, document, sheet.getCellByPosition(column, index + 1), text)
    last = sheet.getCellByPosition(0, 1048575)
    type_into(context, document, last, "76429258490539471")
    result = {
        "headerKept": refused == 2 and header.String == before and beyond.String == "",
        "typed": [[sheet.getCellByPosition(c, r + 1).String for c in range(len(rows[0]))] for r in range(len(rows))],
        "lastRow": last.String,
        "visible": [name for name in document.Sheets.ElementNames if document.Sheets.getByName(name).IsVisible],
    }
    last.String = ""
    document.storeToURL(uno.systemPathToFileUrl(target), properties(FilterName="Calc MS Excel 2007 XML"))
    document.close(True)
    return result


def convert(desktop, source, target, filter_name, password):
    document = desktop.loadComponentFromURL(uno.systemPathToFileUrl(source), "_blank", 0, properties(Hidden=True))
    options = list(properties(FilterName=filter_name))
    if password is not None:
        secret = uno.Any("[]com.sun.star.beans.NamedValue",
                         (NamedValue("OOXPassword", password), NamedValue("CryptoType", "Standard")))
        options += properties(EncryptionData=secret)
    document.storeToURL(uno.systemPathToFileUrl(target), tuple(options))
    document.close(True)
    return {}


def main(arguments):
    with tempfile.TemporaryDirectory(prefix="pagecast-office-", ignore_cleanup_errors=True) as home:
        pipe = os.path.basename(home)
        office = subprocess.Popen(
            ["soffice", "--headless", "--norestore", "--nologo", f"--accept=pipe,name={pipe};urp",
             f"-env:UserInstallation={uno.systemPathToFileUrl(home)}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            context = connect(pipe)
            desktop = context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
            if arguments[0] == "fill":
                result = fill(context, desktop, arguments[1], arguments[2], json.loads(arguments[3]))
            else:
                result = convert(desktop, *arguments[1:4], arguments[4] if len(arguments) > 4 else None)
            print(json.dumps(result))
            try:
                desktop.terminate()
            except Exception:
                pass  # it hangs up while answering
            office.wait(timeout=30)
        finally:
            if office.poll() is None:
                # soffice is a script that starts the real program: both belong to the session made for them.
                os.killpg(office.pid, signal.SIGKILL)


main(sys.argv[1:])
