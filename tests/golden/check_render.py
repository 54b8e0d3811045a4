#!/usr/bin/env python3
"""What the renderers write, against committed files and against independent readers.

    check_render.py RENDER_SAMPLE GOLDEN_FOLDER [--update]

Prints TAP. --update rewrites the committed files; read the difference before committing it.
"""
import csv
import html.parser
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata
import xml.etree.ElementTree
import zlib

GOLDEN = ["result.json", "terminal.txt", "terminal-50.txt", "terminal-color.txt", "result.md",
          "layers.csv", "tokens.csv"]
TOKENS = [b" the", b"<script>alert(1)</script>", b"\n", b"a,b", b'"quoted"', b"\x1b[31m", b"\xff\xfe",
          "\u202ertl".encode(), "\u05e9\u05dc\u05d5\u05dd".encode(), "\u6f22\u5b57".encode(),
          "\U0001f600".encode(), b"", b"|pipe*_`", "e\u0301 ".encode()]
count = 0
failed = 0


def check(name, ok, detail=""):
    global count, failed
    count += 1
    failed += not ok
    print(("ok" if ok else "not ok"), count, "-", name)
    if not ok and detail:
        print("#", str(detail)[:500].replace("\n", "\n# "))


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def width(text):
    """Columns on a terminal, from Python's own tables."""
    total = 0
    for char in text:
        if unicodedata.category(char) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


def check_golden(out, golden, update):
    for name in GOLDEN:
        path = os.path.join(golden, name)
        made = read(out, name)
        if update:
            with open(path, "wb") as file:
                file.write(made)
        kept = read(golden, name) if os.path.exists(path) else b""
        at = next((i for i, (a, b) in enumerate(zip(made, kept)) if a != b), min(len(made), len(kept)))
        check("%s is as committed" % name, made == kept, "byte %d: %r" % (at, made[max(0, at - 40):at + 40]))


def refuse_constant(name):
    raise ValueError(name)


def check_json(out):
    document = json.loads(read(out, "result.json"), parse_constant=refuse_constant)
    check("JSON: keys of the document", list(document) == ["sonde", "command", "parameters", "scalars", "tables",
                                                          "figures", "checks", "warnings"], list(document))
    check("JSON: parameters", document["parameters"] == {
        "labels": "upos", "text": 'Once upon a time, <b>there</b> was & a "little" girl.\n', "seed": 42, "l2": 0.1,
        "control": True, "baseline": None}, document["parameters"])
    check("JSON: scalars", document["scalars"] == {"tokens": 15000, "seconds": 1.23456789, "whole": 3,
                                                   "undefined": None}, document["scalars"])
    layers, tokens, nothing = document["tables"]
    check("JSON: a table's shape", len(layers["rows"]) == 3 and all(len(row) == 14 for row in layers["rows"]))
    check("JSON: numbers that are not finite are null", layers["rows"][2][8] is None and layers["rows"][2][9] is None)
    check("JSON: tokens", [row[0].encode() for row in tokens["rows"]] ==
          [t.decode("utf-8", "replace").encode() for t in TOKENS], tokens["rows"])
    check("JSON: an empty table", nothing["rows"] == [] and len(nothing["columns"]) == 4)
    check("JSON: figures", [(f["name"], f["kind"], f["files"]) for f in document["figures"]] == [
        ("curve", "line", []), ("lens", "text", []), ("direct", "heatmap", []), ("layer-0-heads", "heatmap", [])],
        document["figures"])
    check("JSON: checks", document["checks"][1] == {"name": "lens = logits", "ok": False, "value": 0.25,
                                                    "limit": "<= 1e-5"} and document["checks"][2]["value"] is None)
    check("JSON: warnings", document["warnings"] == ["3 of 600 sequences are in train and test"])
    written = json.loads(read(out, "written.json"))
    files = [name for f in written["figures"] for name in f["files"]]
    check("JSON: the figures' files exist", len(files) == 8 and all(os.path.getsize(f) > 1000 for f in files), files)


def check_csv(out):
    text = read(out, "tokens.csv")
    rows = list(csv.reader(io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")))
    check("CSV: columns", rows[0] == ["token", "id", "special", 'note, with "quotes"'], rows[0])
    check("CSV: tokens byte by byte", [row[0].encode("utf-8", "surrogateescape") for row in rows[1:]] == TOKENS)
    check("CSV: rows end in CR LF", text.endswith(b"\r\n") and text.count(b"\r\n") == len(rows))
    rows = list(csv.DictReader(io.StringIO(read(out, "layers.csv").decode())))
    check("CSV: numbers", float(rows[0]["value"]) == 0.7512345 and rows[2]["control"] == "", rows[0])


def check_terminal(out):
    for name, limit in (("terminal.txt", 80), ("terminal-50.txt", 50)):
        lines = read(out, name).decode("utf-8").split("\n")
        wide = [line for line in lines if width(line) > limit and not line.startswith("warning")]
        check("%s: no line over %d columns" % (name, limit), not wide, wide)
    text = read(out, "terminal.txt").decode("utf-8")
    check("terminal: no control character", not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text))
    color = read(out, "terminal-color.txt").decode("utf-8")
    check("terminal: colours are its own and are closed",
          set(re.findall("\x1b[^m]*m", color)) <= {"\x1b[1m", "\x1b[0m", "\x1b[2m", "\x1b[32m", "\x1b[1;31m",
                                                   "\x1b[33m"}
          and color.count("\x1b[0m") * 2 == color.count("\x1b"))
    check("terminal: without colours the same text",
          re.sub("\x1b[^m]*m", "", color).split()[:40] == text.split()[:40])


class Page(html.parser.HTMLParser):
    VOID = {"meta", "link", "img", "br", "hr"}

    def __init__(self):
        super().__init__()
        self.stack, self.problems, self.tags, self.ids, self.links, self.text = [], [], set(), [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.links.append(value)
            if name.startswith("on"):
                self.problems.append("handler " + name)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.problems.append("stray </%s> at %s" % (tag, self.getpos()))

    def handle_data(self, data):
        self.text.append(data)


def check_html(out):
    text = read(out, "page.html").decode("utf-8")
    page = Page()
    page.feed(text)
    page.close()
    check("HTML: every element is closed in order", not page.stack and not page.problems, page.problems[:5])
    check("HTML: no script", "script" not in page.tags and "iframe" not in page.tags, page.tags)
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    check("HTML: nothing from elsewhere", not outside and "@import" not in text and "url(" not in text, outside)
    check("HTML: every id is there once", len(page.ids) == len(set(page.ids)), page.ids)
    targets = [link[1:] for link in page.links if link.startswith("#")]
    check("HTML: every link of the contents has its place", len(targets) == 16 and set(targets) <= set(page.ids),
          targets)
    check("HTML: hostile tokens are text", "<script>alert(1)</script>" in page.text
          and "<script" not in text and "Sample & <title>" in page.text)
    check("HTML: no control character", not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text))


def check_article(out):
    text = read(out, "article.html").decode("utf-8")
    page = Page()
    page.feed(text)
    page.close()
    check("article: every element is closed in order", not page.stack and not page.problems, page.problems[:5])
    check("article: no script", "<script" not in text and "<iframe" not in text)
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    check("article: nothing from elsewhere", not outside and "@import" not in text and "url(" not in text, outside)
    check("article: every link of the contents has its place",
          [link[1:] for link in page.links if link.startswith("#")] == ["first", "second", "third"]
          and {"first", "second", "third"} <= set(page.ids), page.ids)
    check("article: words between backticks are code, and no others",
          "<code>a &lt; b</code>" in text and "an open ` alone" in text)
    check("article: words between guillemets are marked, and no others",
          "a <mark>&lt;i&gt;</mark> b \u00abc" in text)
    check("article: options of a command are set apart",
          "linear &#39;&lt;b&gt;&#39; <i>--labels</i> upos <i>-o</i> x -</code>" in text)
    check("article: one picture stands beside its text, two below", text.count('class="beside"') == 1
          and text.count("<figure") == 3 and text.count("What would show the opposite") == 1)
    check("article: no control character", not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text))


def png_chunks(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        (crc,) = struct.unpack(">I", data[at + 8 + size:at + 12 + size])
        assert crc == zlib.crc32(kind + body), kind
        yield kind, body
        at += 12 + size


def check_png(out):
    texts, data, header = {}, b"", None
    for kind, body in png_chunks(read(os.path.join(out, "figures"), "direct.png")):
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"tEXt":
            key, value = body.split(b"\0", 1)
            texts[key.decode("latin-1")] = value.decode("latin-1")
        elif kind == b"IDAT":
            data += body
    wide, high = header[0], header[1]
    check("PNG: 8-bit RGB", header[2:] == (8, 2, 0, 0, 0), header)
    check("PNG: text chunks", texts == {"Title": "Direct logit attribution", "Command": "sonde probe linear '<b>'",
                                        "Model-SHA256": "00ff", "Software": "sonde 0.1.0"}, texts)
    rows = zlib.decompress(data)
    check("PNG: as many rows as it says", len(rows) == high * (3 * wide + 1))
    check("PNG: no filter", all(rows[y * (3 * wide + 1)] == 0 for y in range(high)))
    pixel = lambda x, y: tuple(rows[y * (3 * wide + 1) + 1 + 3 * x:][:3])
    # The 12 x 12 map stands in cells of 92 pixels; its corner 0, 0 is NaN and lies at the bottom left, the
    # opposite corner is minus infinity.
    run = b"\xd0" * (3 * 80)  # longer than any stroke of a letter or swatch of a legend
    line = [rows[y * (3 * wide + 1) + 1:(y + 1) * (3 * wide + 1)] for y in range(high)]
    bottom = max(y for y in range(high) if run in line[y])
    left = line[bottom].index(run) // 3
    check("PNG: the NaN cell", pixel(left + 45, bottom - 45) == (0xd0, 0xd0, 0xd0))
    check("PNG: the cell of minus infinity",
          pixel(left + 45 + 11 * 92, bottom - 45 - 11 * 92) == (0x2b, 0xe0, 0xff),
          pixel(left + 45 + 11 * 92, bottom - 45 - 11 * 92))
    check("PNG: white paper", pixel(0, 0) == (255, 255, 255) and pixel(wide - 1, high - 1) == (255, 255, 255))


def check_svg(out):
    space = "{http://www.w3.org/2000/svg}"
    for name in ("curve", "lens", "direct", "layer-0-heads"):
        root = xml.etree.ElementTree.fromstring(read(os.path.join(out, "figures"), name + ".svg"))
        tags = {element.tag for element in root.iter()}
        allowed = {space + tag for tag in ("svg", "title", "desc", "rect", "path", "circle", "text", "g", "image",
                                           "metadata")}
        foreign = {tag for tag in tags - allowed if not tag.startswith("{urn:sonde:provenance}")}
        check("SVG: %s is a drawing and no more" % name, root.tag == space + "svg" and not foreign, foreign)
    root = xml.etree.ElementTree.fromstring(read(os.path.join(out, "figures"), "curve.svg"))
    words = [element.text for element in root.iter(space + "text")]
    check("SVG: text is text", "majority class" in words and "accuracy" in words, words)
    check("SVG: provenance", root.find(".//{urn:sonde:provenance}command").text == "sonde probe linear '<b>'")
    circles = root.findall(space + "circle")
    # the seven points of the first series, and its mark in the legend
    check("SVG: a mark a point", len(circles) == 8, len(circles))


def main():
    program, golden = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([program, out], capture_output=True, text=True, check=False)
        check("render-sample runs", done.returncode == 0 and done.stderr == "", done.stderr)
        check_golden(out, golden, "--update" in sys.argv)
        for one in (check_json, check_csv, check_terminal, check_html, check_article, check_png, check_svg):
            one(out)
    print("1..%d" % count)
    return failed != 0


sys.exit(main())
