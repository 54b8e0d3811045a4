# A tokenizer trained, read back and used; what is refused.

== train and read back
$ printf 'the cat sat on the mat\nthe cat and the hat\n\n' > t.txt
$ sonde tokenizer train --file t.txt --vocab-size 262 --special '<|endoftext|>' --bos '<|endoftext|>' -o new
> tokenizer train
>
> parameters
>   input          t.txt
>   vocab_size     262
>   min_frequency  2
>   bos            <|endoftext|>
>   output         new/tokenizer.json
>
> scalars
>   texts            2
>   bytes            41
>   words            11
>   different_words  8
>   vocab_size       262
>   merges           5
>   tokens           24
>   bytes_per_token  1.70833
$ python3 -c "import json; t = json.load(open('new/tokenizer.json')); print(t['model']['merges'], t['added_tokens'][0]['content'], t['post_processor']['single'][0]['SpecialToken']['id'])"
> ['a t', 'h e', 't he', 'c at', 'Ġ the'] <|endoftext|> <|endoftext|>

== the same bytes every time, from lines and from JSON lines
$ printf 'one fish\ntwo fish\n' > t.txt; printf '{"x": {"y": "two fish"}}\n{"x": {"y": "one fish"}}\n' > t.jsonl
$ sonde tokenizer train -q --file t.txt --min-frequency 1 -o a.json > /dev/null
$ sonde tokenizer train -q --jsonl t.jsonl --field x.y --min-frequency 1 -o b.json > /dev/null; cmp a.json b.json

== a vocabulary that cannot be reached is a warning
$ printf 'one fish two fish' > t.txt
$ sonde tokenizer train --file t.txt --vocab-size 500 -o a.json --json | python3 $CLI/js.py "s['vocab_size'], s['merges'], len(r['warnings'])"
> (260, 4, 1)
! sonde tokenizer: warning: the vocabulary has 260 ids, fewer than the 500 asked for: no pair is left that is seen 2 times or more

== line ends belong to a whole file
$ printf 'a\n\n\nb\n\n\nc\n' > t.txt
$ sonde tokenizer train -q --file t.txt --whole -o a.json --json | python3 $CLI/js.py "s['texts'], s['merges'], s['bytes']"
> (1, 1, 10)
$ sonde tokenizer train -q --file t.txt -o b.json --json | python3 $CLI/js.py "s['texts'], s['merges'], s['bytes']"
> (3, 0, 3)

== what is there is not written over
$ printf 'one fish two fish' > t.txt; mkdir model made; echo mine > model/config.json; echo mine > made/tokenizer.json; echo mine > x.json; sonde tokenizer train --file t.txt -o model
! sonde tokenizer: model/config.json is there already: --replace writes the tokenizer all the same, or name another place
? 2
$ sonde tokenizer train --file t.txt -o model/tokenizer.json
! sonde tokenizer: model/config.json is there already: --replace writes the tokenizer all the same, or name another place
? 2
$ sonde tokenizer train --file t.txt -o made/
! sonde tokenizer: made/tokenizer.json is there already: --replace writes the tokenizer all the same, or name another place
? 2
$ sonde tokenizer train --file t.txt -o x.json
! sonde tokenizer: x.json is there already: --replace writes the tokenizer all the same, or name another place
? 2
$ ls model; cat made/* x.json; for to in model made x.json; do sonde tokenizer train -q --file t.txt --replace --vocab-size 257 -o $to > /dev/null; done; ls model | xargs; cmp model/tokenizer.json made/tokenizer.json && cmp x.json made/tokenizer.json && cat model/config.json
> config.json
> mine
> mine
> config.json tokenizer.json
> mine

== what is refused
$ printf 'one fish' > t.txt
$ sonde tokenizer
! sonde tokenizer: train is missing; usage: sonde tokenizer train --file FILE|--jsonl FILE [--field NAME] [--vocab-size N] -o FILE|DIR
? 2
$ sonde tokenizer eat --file t.txt -o a.json
! sonde tokenizer: 'eat' is nothing that can be done with a tokenizer, expected 'train'
? 2
$ sonde tokenizer train -o a.json
! sonde tokenizer: give one of --file and --jsonl
? 2
$ sonde tokenizer train --file t.txt --jsonl t.jsonl -o a.json
! sonde tokenizer: give one of --file and --jsonl
? 2
$ sonde tokenizer train --file t.txt --field x -o a.json
! sonde tokenizer: --field goes with --jsonl
? 2
$ sonde tokenizer train --jsonl t.txt --whole -o a.json
! sonde tokenizer: --whole goes with --file
? 2
$ sonde tokenizer train --file t.txt
! sonde tokenizer: say with -o where to write
? 2
$ sonde tokenizer train --file t.txt --vocab-size 255 -o a.json
! sonde tokenizer: --vocab-size 255: must be between 256 and 1048576
? 2
$ sonde tokenizer train --file t.txt --vocab-size 256 --special '<s>' -o a.json
! sonde tokenizer: a vocabulary of 256, expected 257 (256 bytes and 1 special tokens) to 1048576
? 2
$ sonde tokenizer train --file t.txt --bos '<s>' -o a.json
! sonde tokenizer: "<s>" is to stand before every text and is no special token
? 2
$ sonde tokenizer train --file nothing.txt -o a.json
! sonde tokenizer: nothing.txt: No such file or directory
? 2
$ : > empty.txt; sonde tokenizer train --file empty.txt -o a.json
! sonde tokenizer: empty.txt: no text to learn from: 0 texts without a word
? 2
$ printf '{"text": 3}\n' > bad.jsonl; sonde tokenizer train --jsonl bad.jsonl -o a.json
!~ sonde tokenizer: bad.jsonl:1: *
? 2
$ sonde tokenizer train --file t.txt -o t.txt/a.json
!~ sonde tokenizer: t.txt/a.json*
? 2
$ ls
> bad.jsonl
> empty.txt
> t.txt
