#!/usr/bin/env python3
"""Writes tokenizer files that must be refused, and expected.tsv: file, vocabulary size, message.

usage: make_tokenizer.py FOLDER

In messages @ stands for the folder. Standard library only."""
import json
import os
import struct
import sys

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
expected = []


def write(name, data):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode("utf-8"))


def case(name, data, message, vocab_size=0, path=None):
    """path: what is opened, where it is not the file itself."""
    write(name, data)
    expected.append((path or name, vocab_size, message))


def tokenizer(**changes):
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    model.update(changes.pop("model", {}))
    root = {"model": {k: v for k, v in model.items() if v is not ...}}
    root.update(changes)
    return json.dumps(root, ensure_ascii=False)


def refuse(name, message, **changes):
    case(name + ".json", tokenizer(**changes), "@/" + name + ".json: " + message)


# The file itself.
case("empty.json", "", "@/empty.json: line 1, column 0: unexpected token near end of file")
case("list.json", "[]", "@/list.json: an array, expected an object")
case("twice.json", '{"model": {"vocab": {"a": 0, "a": 1}}}',
     "@/twice.json: line 1, column 32: duplicate object key near '\"a\"'")
case("surrogate.json", '{"model": {"vocab": {"\\ud800": 0}}}',
     "@/surrogate.json: line 1, column 29: invalid Unicode '\\uD800' near '\"\\ud800\"'")
case("bytes.json", b'{"model": "\xff"}',
     "@/bytes.json: line 1, column 11: unable to decode byte 0xff near '\"'")
case("nul-key.json", '{"model": {"type": "BPE", "vocab": {"a\\u0000": 0}, "merges": []}}',
     "@/nul-key.json: line 1, column 45: NUL byte in object key not supported near '\"a\\u0000\"'")
case("deep.json", "[" * 100000,
     "@/deep.json: line 1, column 2049: maximum parsing depth reached near '['")

# The model.
case("no-model.json", '{"version": "1.0"}', "@/no-model.json: model is nothing, expected an object")
refuse("unigram", 'model type "Unigram" is not supported, expected "BPE"', model={"type": "Unigram"})
refuse("wordpiece", 'model type "WordPiece" is not supported, expected "BPE"',
       model={"type": "WordPiece"})
refuse("typeless", "model without type and merges", model={"type": ..., "merges": ...})
refuse("dropout", "model: dropout 0.1 is not supported", model={"dropout": 0.1})
refuse("prefix", 'model: continuing_subword_prefix "##" is not supported',
       model={"continuing_subword_prefix": "##"})
refuse("suffix", 'model: end_of_word_suffix "</w>" is not supported',
       model={"end_of_word_suffix": "</w>"})
refuse("flag", '"fuse_unk": found a string, expected true or false', model={"fuse_unk": "yes"})
refuse("unk", 'unk_token "<unk>" is not in the vocabulary', model={"unk_token": "<unk>"})

# The vocabulary.
refuse("vocab-list", "vocab is an array, expected an object", model={"vocab": [["a", 0.0]]})
refuse("id-negative", 'vocab: id -1 of "b", expected 0 to 4194303',
       model={"vocab": {"a": 0, "b": -1, "ab": 2}})
refuse("id-large", 'vocab: id 4194304 of "b", expected 0 to 4194303',
       model={"vocab": {"a": 0, "b": 4194304, "ab": 2}})
refuse("id-int32", 'vocab: id 4294967296 of "b", expected 0 to 4194303',
       model={"vocab": {"a": 0, "b": 4294967296, "ab": 2}})
refuse("id-twice", 'vocab: id 1 is given twice, to "b" and "ab"',
       model={"vocab": {"a": 0, "b": 1, "ab": 1}})
refuse("id-text", 'vocab: the id of "b" is a string, expected an integer',
       model={"vocab": {"a": 0, "b": "1"}})
refuse("id-real", 'vocab: the id of "b" is a real number, expected an integer',
       model={"vocab": {"a": 0, "b": 1.5}})
refuse("piece-10mb", "vocab: id 7: a piece of 10485760 bytes, at most 65536",
       model={"vocab": {"x" * 10485760: 7}})

# Merges.
refuse("merges-text", "merges is a string, expected an array", model={"merges": "a b"})
refuse("merge-unknown", 'merge 1 names "z", which is not in the vocabulary',
       model={"merges": ["a b", "a z"]})
refuse("merge-unknown-left", 'merge 0 names "z?", which is not in the vocabulary',
       model={"merges": [["z\u0007", "a"]]})
refuse("merge-result", 'merge 0 gives "ba", which is not in the vocabulary',
       model={"merges": ["b a"]})
refuse("merge-one", 'merge 0: "ab", expected two pieces and a space between',
       model={"merges": ["ab"]})
refuse("merge-three", 'merge 0: "a b ab", expected two pieces and a space between',
       model={"merges": ["a b ab"]})
refuse("merge-number", "merge 0 is a whole number, expected a string or two strings",
       model={"merges": [7]})
refuse("merge-array", "merge 0 is an array, expected a string or two strings",
       model={"merges": [["a", "b", "ab"]]})
refuse("merge-empty", "merge 0 of an empty piece",
       model={"vocab": {"": 0, "a": 1}, "merges": [["", "a"]]})

# Added tokens.
refuse("added-object", "added_tokens is an object, expected an array", added_tokens={})
refuse("added-id", "added token 0: id is nothing, expected an integer",
       added_tokens=[{"content": "<s>"}])
refuse("added-content", "added token 0: content is nothing, expected a string",
       added_tokens=[{"id": 3}])
refuse("added-taken", 'added token 0: id 1 is given twice, to "b" and "<s>"',
       added_tokens=[{"id": 1, "content": "<s>"}])
refuse("added-two-ids", 'added token 0: "b" has two ids, 1 and 3',
       added_tokens=[{"id": 3, "content": "b"}])
refuse("added-twice", 'added token 1: "<s>" is given twice',
       added_tokens=[{"id": 3, "content": "<s>"}, {"id": 3, "content": "<s>"}])
refuse("added-negative", 'added token 0: id -3 of "<s>", expected 0 to 4194303',
       added_tokens=[{"id": -3, "content": "<s>"}])
refuse("added-long", "added token 0: id 3: an added token of 513 bytes, at most 512",
       added_tokens=[{"id": 3, "content": "x" * 513}])
refuse("added-nul", "added token 0: id 3: a NUL in the piece",
       added_tokens=[{"id": 3, "content": "<\u0000>"}])
refuse("added-flag", 'added token 0: "lstrip": found a whole number, expected true or false',
       added_tokens=[{"id": 3, "content": "<s>", "lstrip": 1}])

# Steps.
for kind in ["BertNormalizer", "StripAccents", "Strip", "Nmt", "Precompiled", "ByteLevel"]:
    refuse("normalizer-" + kind, 'normalizer "%s" is not supported' % kind,
           normalizer={"type": kind})
refuse("normalizer-typeless", "normalizer without a type", normalizer={})
refuse("normalizer-text", "normalizer: a string, expected an object", normalizer="NFC")
refuse("normalizer-regex",
       'normalizer Replace with the regular expression "(a+)+$" is not supported',
       normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""})
refuse("normalizer-empty",
       "normalizer Replace: String is a string, expected a string of 1 to 65536 bytes",
       normalizer={"type": "Replace", "pattern": {"String": ""}, "content": "x"})
refuse("normalizer-many", "normalizer: more than 16 steps",
       normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 17})
nested = {"type": "NFC"}
for _ in range(9):
    nested = {"type": "Sequence", "normalizers": [nested]}
refuse("normalizer-nested", 'normalizer "Sequence" is not supported', normalizer=nested)
for kind in ["Whitespace", "BertPreTokenizer", "WhitespaceSplit", "Punctuation", "UnicodeScripts",
             "CharDelimiterSplit", "FixedLength"]:
    refuse("pre-" + kind, 'pre_tokenizer "%s" is not supported' % kind,
           pre_tokenizer={"type": kind})
refuse("pre-regex",
       'pre_tokenizer Split with the unknown pattern "(a*)*b" is not supported',
       pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated"})
refuse("pre-behavior", 'pre_tokenizer Split behavior "Contiguous" is not supported',
       pre_tokenizer={"type": "Split", "pattern": {"String": "x"}, "behavior": "Contiguous"})
refuse("pre-invert", 'pre_tokenizer Split "invert" is not supported',
       pre_tokenizer={"type": "Split", "pattern": {"String": "x"}, "behavior": "Isolated",
                      "invert": True})
refuse("pre-order", 'pre_tokenizer after ByteLevel "Digits" is not supported',
       pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"},
                                                            {"type": "Digits"}]})
refuse("pre-scheme", 'pre_tokenizer Metaspace: prepend_scheme "last" is not supported',
       pre_tokenizer={"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})
for kind in ["WordPiece", "BPEDecoder", "CTC"]:
    refuse("decoder-" + kind, 'decoder "%s" is not supported' % kind, decoder={"type": kind})
refuse("decoder-strip", '"start": found -1, expected 0 to 2147483647',
       decoder={"type": "Strip", "content": " ", "start": -1, "stop": 0})
for kind in ["BertProcessing", "RobertaProcessing"]:
    refuse("post-" + kind, 'post_processor "%s" is not supported' % kind,
           post_processor={"type": kind})
single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
refuse("post-ids", 'post_processor: no ids for "<s>"',
       post_processor={"type": "TemplateProcessing", "single": single, "special_tokens": {}})
refuse("post-range", 'post_processor: id 9 of "<s>" is not in the vocabulary',
       post_processor={"type": "TemplateProcessing", "single": single,
                       "special_tokens": {"<s>": {"ids": [9]}}})
refuse("post-two", "post_processor: item 1 of single is no special token and not the one sequence",
       post_processor={"type": "TemplateProcessing", "single": [single[1], single[1]],
                       "special_tokens": {}})

# Folders: GPT-2's two files, and nothing.
case("merges-file/vocab.json", '{"a": 0, "b": 1, "ab": 2}',
     '@/merges-file/merges.txt: line 3: merge 1 names "z", which is not in the vocabulary',
     path="merges-file")
write("merges-file/merges.txt", "#version: 0.2\na b\na z\n")
case("merges-line/vocab.json", '{"a": 0, "b": 1, "ab": 2}',
     '@/merges-line/merges.txt: line 1: "a b c", expected two pieces and a space between',
     path="merges-line")
write("merges-line/merges.txt", "a b c\r\n")
case("added-decoder/vocab.json", '{"a": 0}',
     '@/added-decoder/tokenizer_config.json: added_tokens_decoder: "x" is not a number, expected an id',
     path="added-decoder")
write("added-decoder/merges.txt", "")
write("added-decoder/tokenizer_config.json", '{"added_tokens_decoder": {"x": {"content": "y"}}}')
case("class/vocab.json", '{"a": 0}',
     '@/class: tokenizer_class "CLIPTokenizer" without tokenizer.json is not supported', path="class")
write("class/merges.txt", "")
write("class/tokenizer_config.json", '{"tokenizer_class": "CLIPTokenizer"}')
case("nothing/README", "", "@/nothing: no tokenizer.json, nor vocab.json with merges.txt",
     path="nothing")
expected.append(("not-there", 0, "@/not-there: no such file"))
case("spm.model", "", "@/spm.model: a SentencePiece model; a tokenizer.json of it is needed")


# llama2.c
def llama(n=300, longest=8, change=None):
    out = struct.pack("<i", longest)
    for i in range(n):
        text = b" " if i == 259 else b"p%d" % i
        score = -float(i)
        length = len(text)
        if change and i == change[0]:
            score = change[1].get("score", score)
            length = change[1].get("length", length)
            text = change[1].get("text", text)
        out += struct.pack("<fi", score, length) + text
    return out


def refuse_llama(name, data, message, n=300):
    case(name + ".bin", data, "@/" + name + ".bin: " + message, n)


refuse_llama("no-size", llama(), "a vocabulary of 0, expected 259 to 4194304 for a llama2.c tokenizer",
             0)
refuse_llama("few", llama(), "a vocabulary of 258, expected 259 to 4194304 for a llama2.c tokenizer",
             258)
refuse_llama("too-short", b"\1\0", "2 bytes are too few for a llama2.c tokenizer")
refuse_llama("longest", llama(longest=0), "longest piece of 0 bytes, expected 1 to 65536")
refuse_llama("longest-huge", llama(longest=2 ** 31 - 1),
             "longest piece of 2147483647 bytes, expected 1 to 65536")
refuse_llama("more", llama(), "%d bytes are too few for 4000000 pieces" % len(llama()), 4000000)
refuse_llama("cut", llama()[:-1], "id 299: the file ends at byte %d" % (len(llama()) - 1))
refuse_llama("tail", llama() + b"x", "1 bytes after the last of 300 pieces")
refuse_llama("length-negative", llama(change=(5, {"length": -1})),
             "id 5: a piece of -1 bytes, expected 0 to 8")
refuse_llama("length-large", llama(change=(5, {"length": 9})),
             "id 5: a piece of 9 bytes, expected 0 to 8")
refuse_llama("score-nan", llama(change=(5, {"score": float("nan")})), "id 5: the score is not finite")
refuse_llama("piece-nul", llama(change=(5, {"text": b"\0x"})), "id 5: a NUL in the piece")
refuse_llama("no-space", llama(change=(259, {"text": b"_"})), "no piece is a single space")

with open(os.path.join(folder, "expected.tsv"), "w", encoding="utf-8") as f:
    for name, size, message in expected:
        f.write("%s\t%d\t%s\n" % (name, size, message))
